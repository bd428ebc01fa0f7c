from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from standardwebhooks import Webhook as Reference
from standardwebhooks import WebhookVerificationError
from tests.channels.sink import Sink

from nextbest.channels import MESSAGE
from nextbest.channels.webhook import Webhook, signed, signing_key
from nextbest.errors import ChannelError, ConfigError
from nextbest.testing import check_channel

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def messages(n: int, text: str = "hello") -> pa.Table:
    """Give n messages."""
    rows = [{"decision_id": f"d{i}", "subject_id": f"c{i}", "text": text, "expected_value": 1.5} for i in range(n)]
    return pa.Table.from_pylist(rows, schema=MESSAGE)


def hook(sink: Sink, **settings: float) -> Webhook:
    """Give a webhook to a sink in our own network."""
    return Webhook(url=sink.url, secret=SECRET, allow_hosts=("127.0.0.1",), **{"seconds": 5.0, **settings})


def test_signature_equals_the_reference() -> None:
    """For many messages the signature equals that of the reference implementation, byte for byte."""
    for i in range(50):
        body = f'{{"n": {i}, "text": "ü{"x" * i}"}}'
        got = signed(signing_key(SECRET), f"msg_{i}", 1_700_000_000 + i, body.encode())
        moment = datetime.fromtimestamp(1_700_000_000 + i, tz=UTC)
        assert got["webhook-signature"] == Reference(SECRET).sign(f"msg_{i}", moment, body)


def test_what_is_sent_verifies_at_the_receiver() -> None:
    """The reference accepts the request as it came over the wire, and refuses it when a byte is changed."""
    with Sink() as sink:
        receipt = hook(sink).deliver(messages(2, text="Grüße"))
    assert receipt["status"].to_pylist() == ["sent", "sent"]
    for body, headers in zip(sink.bodies, sink.headers, strict=True):
        assert Reference(SECRET).verify(body, headers)["type"] == "decision"
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            Reference(SECRET).verify(body.replace(b"hook", b"h00k").replace(b"decision_id", b"decision_ix"), headers)
    assert sink.ids == ["d0", "d1"]
    assert [d["text"] for d in sink.data] == ["Grüße", "Grüße"]
    assert abs(int(sink.headers[0]["webhook-timestamp"]) - time.time()) < 60


@pytest.mark.parametrize(
    ("mode", "status", "detail"),
    [
        ("ok", "sent", "status 200"),
        ("error", "retry", "status 500"),
        ("busy", "retry", "status 429, retry after 7200 s"),
        ("gone", "failed", "status 410"),
        ("reset", "retry", "no answer"),
        ("hang", "retry", "no answer: ReadTimeout"),
        ("drip", "retry", "no answer: ReadTimeout"),
        ("endless", "sent", "status 200"),
    ],
)
def test_every_kind_of_sink_is_survived(mode: str, status: str, detail: str) -> None:
    """Slow, dead, rude and endless sinks give a receipt that says what happened, within the time limit."""
    started = time.monotonic()
    with Sink(mode) as sink:
        receipt = hook(sink, seconds=1.0).deliver(messages(1)).to_pylist()[0]
    assert receipt["status"] == status
    assert receipt["detail"].startswith(detail)
    assert time.monotonic() - started < 5


def test_the_circuit_opens_after_five_failures() -> None:
    """After five failures in a row the rest is left for later without a call; a success in between starts anew."""
    with Sink("error") as sink:
        receipt = hook(sink).deliver(messages(20))
    assert len(sink.bodies) == 5
    assert receipt["status"].to_pylist() == ["retry"] * 20
    assert receipt["detail"][19].as_py() == "not tried: 5 failures in a row"
    with Sink("error", "error", "error", "error", "ok", "error") as sink:
        hook(sink).deliver(messages(20))
    assert len(sink.bodies) == 10


def test_a_message_that_is_too_large_is_never_sent() -> None:
    """More than 64 KB fails for good, without a call."""
    with Sink() as sink:
        receipt = hook(sink).deliver(messages(1, text="x" * 70_000)).to_pylist()[0]
    assert receipt["status"] == "failed"
    assert "65,536 are allowed" in receipt["detail"]
    assert not sink.bodies


def test_secrets_come_by_reference_and_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret may be named by environment or file; a bad one is refused without repeating it."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert signing_key("env:HOOK_SECRET") == signing_key(f"file:{tmp_path / 'secret'}") == signing_key(SECRET)
    with pytest.raises(ConfigError, match="not base64") as told:
        signing_key("whsec_not/base64!!")
    assert "not/base64" not in str(told.value)
    with pytest.raises(ConfigError, match="has no secret"):
        signing_key("env:NO_SUCH_SECRET")
    with pytest.raises(ConfigError, match="cannot be read"):
        signing_key(f"file:{tmp_path / 'nowhere'}")


def test_urls_that_cannot_be_are_refused() -> None:
    """No url, plain http to strangers and passwords in the url are refused before anything is sent."""
    for url, why in (("", "has no url"), ("http://example.com", "https://"), ("https://a:b@example.com", "password")):
        with pytest.raises(ConfigError, match=why):
            Webhook(url=url, secret=SECRET).deliver(messages(1))


def test_the_channel_keeps_its_contract() -> None:
    """The webhook passes the public contract suite; it does not read, and says so."""
    with Sink() as sink:
        check_channel(hook(sink))
    with pytest.raises(ChannelError, match="cannot be read"):
        hook(sink).read("x")
