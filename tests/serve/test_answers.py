"""Each route does what its verb does, once, and says what went wrong in one shape."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, NOW, order

from nextbest import operations
from nextbest.errors import LedgerError, ModelError
from nextbest.ledger import analysis
from nextbest.policies.live.engine import Engine

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from nextbest.ledger import Ledger

DECIDE = {"play": "win_back", "subject_id": "c2"}


def test_decide_answers_with_what_is_in_the_log(admin: TestClient) -> None:
    """The reply has the documented fields, and the log holds the same decision with both probabilities."""
    reply = admin.post("/v1/decide", json=DECIDE).json()
    assert set(reply) == {
        *("decision_id", "action_id", "choice_probability", "response_probability", "expected_value"),
        *("reason", "arm", "degraded", "policy_version", "model_versions", "logged", "outcome_token"),
    }
    logged = admin.get(f"/v1/decisions/{reply['decision_id']}").json()
    shared = set(reply) & set(logged)
    assert {k: logged[k] for k in shared} == {k: reply[k] for k in shared}
    assert sum(c["choice_probability"] for c in logged["candidates"]) == pytest.approx(1)
    assert logged["subject_id"] == "c2"


def test_somebody_without_permission_is_left_alone(admin: TestClient) -> None:
    """Under opt-in, unknown is no: the subject who never answered gets none, and so does a stranger."""
    for subject in ("c11", "stranger"):
        reply = admin.post("/v1/decide", json={**DECIDE, "subject_id": subject}).json()
        assert reply["action_id"] == "none"


def test_a_no_binds_the_next_decision(admin: TestClient) -> None:
    """After a no is acknowledged, no decision reaches the subject."""
    no = {"subject_id": "c2", "allow": False, "proof": "called us", "channel": "email"}
    before = admin.post("/v1/consent", json=no).json()["version"]
    replies = [admin.post("/v1/decide", json=DECIDE).json() for _ in range(10)]
    assert {r["action_id"] for r in replies} == {"none"}
    assert admin.post("/v1/consent", json=no).json()["version"] == before + 1


@pytest.mark.parametrize("step", ["propose", "settle"])
@pytest.mark.parametrize("fault", [ModelError("damaged"), ValueError("nan"), KeyError("x"), OSError(28, "full")])
def test_a_fault_is_a_degraded_none_not_an_error(
    admin: TestClient, monkeypatch: pytest.MonkeyPatch, fault: Exception, step: str
) -> None:
    """Whatever breaks inside a decision, the answer is 200 with none, degraded, and is counted."""

    def broken(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(Engine, step, broken)
    answer = admin.post("/v1/decide", json=DECIDE)
    reply = answer.json()
    assert (answer.status_code, reply["action_id"], reply["degraded"], reply["logged"]) == (200, "none", True, False)
    assert "nextbest_degraded_total 1" in admin.get("/metrics").text


def test_the_stop_switch_binds_the_next_decision(admin: TestClient, ledger: Ledger) -> None:
    """A stopped play does nothing from the next request on."""
    operations.stop(ledger, play="win_back", why="test")
    assert {admin.post("/v1/decide", json=DECIDE).json()["action_id"] for _ in range(10)} == {"none"}


def test_events_are_stored_once(admin: TestClient) -> None:
    """The same message is a duplicate, a changed one and a wrong one are rejected with a reason, the rest is stored."""
    new = order(900, 2, 1)
    first = admin.post("/v1/events", json={"events": [new, {**new, "message_id": "m901", "revenue": "many"}]}).json()
    assert (first["stored"], first["duplicates"], first["rejected"]) == (1, 0, 1)
    assert "revenue" in first["receipts"][1]["why"]
    second = admin.post("/v1/events", json={"events": [new, {**new, "revenue": 1.0}]}).json()
    assert [r["status"] for r in second["receipts"]] == ["duplicate", "rejected"]


def test_whole_numbers_stay_whole(admin: TestClient) -> None:
    """A column of whole numbers takes 2 and refuses 2.5."""
    line = {"kind": "order_line", "message_id": "l1", "subject_id": "c2", "ts": NOW.isoformat(), "order_id": "o1"}
    named = {**line, "product_id": "p1"}
    whole, half = {**named, "ts_offset_min": 60}, {**named, "message_id": "l2", "ts_offset_min": 60.5}
    receipts = admin.post("/v1/events", json={"events": [whole, half]}).json()["receipts"]
    assert [r["status"] for r in receipts] == ["stored", "rejected"]


def test_outcomes_are_stored_once(admin: TestClient) -> None:
    """An outcome that comes twice is new once."""
    outcome = {"outcome_id": "x1", "subject_id": "c2", "ts": NOW.isoformat(), "name": "revenue_30d", "value": 12.0}
    body = {"outcomes": [outcome]}
    assert admin.post("/v1/outcomes", json=body).json() == {"received": 1, "new": 1}
    assert admin.post("/v1/outcomes", json=body).json() == {"received": 1, "new": 0}


def test_an_outcome_without_a_time_came_now(admin: TestClient, ledger: Ledger) -> None:
    """Without `ts` an outcome has the time of the server's clock; a time without a zone is refused."""
    outcome = {"outcome_id": "x2", "subject_id": "c2", "name": "click"}
    assert admin.post("/v1/outcomes", json={"outcomes": [outcome]}).json() == {"received": 1, "new": 1}
    rows = analysis.table(ledger, "outcomes", columns=("outcome_id", "ts")).to_pylist()
    assert rows == [{"outcome_id": "x2", "ts": ledger.clock()}]
    bare = {**outcome, "outcome_id": "x3", "ts": "2026-03-01T10:00:00"}
    assert admin.post("/v1/outcomes", json={"outcomes": [bare]}).status_code == 400


def test_predictions_come_as_published(admin: TestClient, ledger: Ledger) -> None:
    """Predict gives what was published for each subject, and nothing for a stranger."""
    import pyarrow as pa

    from nextbest.ledger import published

    table = pa.table({"subject_id": ["c2"], "churn_probability": [0.25]})
    published.publish(ledger, "churn", "churn-1", NOW, table)
    reply = admin.post("/v1/predict", json={"subject_ids": ["c2", "stranger"]}).json()
    assert reply["subjects"] == [
        {"subject_id": "c2", "predictions": {"churn_probability": 0.25}, "model_versions": {"churn": "churn-1"}},
        {"subject_id": "stranger", "predictions": {}, "model_versions": {}},
    ]


def test_an_erased_person_is_gone(admin: TestClient) -> None:
    """A dry run changes nothing; after the erasure the subject is unknown, and is left alone."""
    dry = admin.post("/v1/erase", json={"subject_id": "c2", "dry_run": True}).json()
    assert sum(dry["removed"].values()) > 0
    assert admin.get("/v1/subjects/c2").status_code == 200
    done = admin.post("/v1/erase", json={"subject_id": "c2"}).json()
    assert done["receipt_id"]
    assert admin.get("/v1/subjects/c2").status_code == 404
    assert admin.post("/v1/decide", json=DECIDE).json()["action_id"] == "none"


def test_a_subject_is_shown_whole(admin: TestClient) -> None:
    """What is known about a subject includes consent, decisions and events."""
    known = admin.get("/v1/subjects/c2").json()
    assert known["events"] == {"order": 3}
    assert known["consent"][0]["proof"] == "form"
    assert known["decisions"][0]["play"] == "win_back"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/subjects/nobody", None),
        ("GET", "/v1/decisions/d_none", None),
        ("POST", "/v1/erase", {"subject_id": "nobody"}),
        ("POST", "/v1/decide", {"play": "nothing", "subject_id": "c2"}),
        ("POST", "/feedback", {"decision_id": "d_none", "verdict": "approve"}),
        ("GET", "/static/routes.py", None),
    ],
)
def test_what_does_not_exist_is_404(admin: TestClient, method: str, path: str, body: Any) -> None:
    """An unknown subject, decision, play or file is answered with 404 and a reason."""
    answer = admin.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_name")


def test_a_key_gets_the_first_reply_again(admin: TestClient) -> None:
    """The same Idempotency-Key and body get the first reply; another body is a conflict; an error is not kept."""
    keyed = {"Idempotency-Key": "k1"}
    replies = [admin.post("/v1/decide", json=DECIDE, headers=keyed).json() for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert admin.post("/v1/decide", json={**DECIDE, "subject_id": "c3"}, headers=keyed).status_code == 409
    other = {"Idempotency-Key": "k2"}
    assert admin.post("/v1/decide", json={**DECIDE, "play": "none"}, headers=other).status_code == 404
    assert admin.post("/v1/decide", json=DECIDE, headers=other).status_code == 200


def test_a_key_decides_once_under_load(admin: TestClient, ledger: Ledger) -> None:
    """Twenty requests at once with one key make one decision."""

    def ask(_: int) -> str:
        answer = admin.post("/v1/decide", json=DECIDE, headers={"Idempotency-Key": "race"})
        return str(answer.json()["decision_id"])

    with admin, ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(ask, range(20)))
    assert len(ids) == 1
    single = [d for d in operations.subject(ledger, "c2").decisions if d["decision_id"] in ids]
    assert len(single) == 1


def test_keys_of_two_callers_do_not_meet(with_key: Any) -> None:
    """Two API keys may use the same Idempotency-Key for different requests."""
    a, b = with_key("decide"), with_key("decide")
    first = a.post("/v1/decide", json=DECIDE, headers={"Idempotency-Key": "same"})
    second = b.post("/v1/decide", json={**DECIDE, "subject_id": "c3"}, headers={"Idempotency-Key": "same"})
    assert (first.status_code, second.status_code) == (200, 200)


def test_an_erasure_is_repeatable_and_keeps_no_trace(admin: TestClient, ledger: Ledger) -> None:
    """The receipt comes again under its key, although nothing that is kept names the person."""
    who = {"subject_id": "person-with-a-long-name"}
    admin.post("/v1/events", json={"events": [{**order(990, 1, 1), **who}]}).raise_for_status()
    admin.post("/v1/decide", json={**DECIDE, **who}, headers={"Idempotency-Key": "d"}).raise_for_status()
    first = admin.post("/v1/erase", json=who, headers={"Idempotency-Key": "e"})
    assert first.status_code == 200
    assert admin.post("/v1/erase", json=who, headers={"Idempotency-Key": "e"}).json() == first.json()
    found = [f.name for f in ledger.path.rglob("*") if f.is_file() and who["subject_id"].encode() in f.read_bytes()]
    assert found == []


def test_ready_warns_of_refused_settings_and_of_alarms(admin: TestClient, ledger: Ledger) -> None:
    """A nextbest.toml that cannot be used and an alarm do not take the service down; they are told, and counted."""
    operations.raise_alarm(ledger, why="poisoned", by="ann")
    file = ledger.path / "nextbest.toml"
    before = file.read_text(encoding="utf-8")
    file.write_text("plays = 3", encoding="utf-8")
    answer = admin.get("/ready")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    refused, alarm = answer.json()["warnings"]
    assert "nextbest.toml" in refused
    assert "poisoned" in alarm
    assert "nextbest_warnings 2" in admin.get("/metrics").text
    file.write_text(before, encoding="utf-8")
    operations.lift_alarm(ledger, why="mended", by="ann")
    assert admin.get("/ready").json() == {"ready": True}


def test_ready_says_why_not(admin: TestClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready is 503 with the reason while a restore is under way or a model does not verify, and 200 otherwise."""
    assert admin.get("/ready").json() == {"ready": True}
    (ledger.path / "restoring").touch()
    answer = admin.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": ["A restore is not done yet."]})
    (ledger.path / "restoring").unlink()
    monkeypatch.setattr(operations, "not_ready", lambda _: ("models/x: damaged",))
    assert admin.get("/ready").status_code == 503


def test_an_unreadable_store_is_503(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the ledger cannot be read or written the answer is 503, and says nothing about files."""

    def broken(*_: object, **__: object) -> None:
        raise LedgerError("/some/file is damaged")

    monkeypatch.setattr(operations, "subject", broken)
    answer = admin.get("/v1/subjects/c2")
    assert answer.status_code == 503
    assert "/some/file" not in answer.text


def test_a_fault_of_the_program_says_only_its_kind(
    app: ASGIApp, admin: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody foresaw is a 500 without its message, and is counted."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("c2@example.com")

    monkeypatch.setattr(operations, "subject", broken)
    client = TestClient(app, base_url=BASE, headers=admin.headers, raise_server_exceptions=False)
    answer = client.get("/v1/subjects/c2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "fault")
    assert "example.com" not in answer.text
    assert "nextbest_errors_total 1" in admin.get("/metrics").text


def test_metrics_count_and_name_nobody(admin: TestClient) -> None:
    """Decisions, answers, latency, queue and segments are counted; no subject or decision is named."""
    made = admin.post("/v1/decide", json=DECIDE).json()
    admin.get("/v1/subjects/c2")
    text = admin.get("/metrics").text
    for name in ("decisions_total{", "requests_total{", "decide_seconds_bucket{le=", "journal_queue 0", "segments "):
        assert f"nextbest_{name}" in text
    assert 'nextbest_decide_seconds_bucket{le="+Inf"} 1' in text
    assert "c2" not in text
    assert made["decision_id"] not in text
