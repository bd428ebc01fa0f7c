"""The command line: every verb, exactly one document, exit statuses, and errors that say what to do."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from nextbest import operations
from nextbest.cli.data import pairs
from nextbest.errors import UsageError
from nextbest.ledger import spent

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]


def _allow(nextbest: Run, shop: Path, subject: str) -> None:
    said = nextbest("consent", subject, "--channel", "email", "--allow", "--proof", "form", "-w", shop, "--json")
    assert said.document["allowed"] is True


def test_load_prints_the_promised_document(nextbest: Run, tmp_path: Path, orders: Run) -> None:
    """Load tells per file what it was taken for, and read = accepted + rejected."""
    path, rows = orders()
    assert nextbest("init", tmp_path / "acme").status == 0
    said = nextbest("load", path, "--as", "order", "-w", tmp_path / "acme", "--json")
    (file,) = said.document["files"]
    assert set(file["recognised_as"]) >= {"system", "table", "confidence"}
    assert file["rows_read"] == file["rows_accepted"] + file["rows_rejected"] == rows
    assert {"rejected_file", "columns_used", "columns_unused"} <= set(file)
    assert said.document["subjects"] == 20


def test_loading_the_same_file_again_changes_nothing(nextbest: Run, shop: Path) -> None:
    """A second load of the same bytes adds no row and no subject."""
    before = nextbest("check", "-w", shop, "--json").document
    said = nextbest("load", shop.parent / "orders.csv", "--as", "order", "-w", shop, "--json")
    assert said.status in (0, 1)
    assert nextbest("check", "-w", shop, "--json").document == before


def test_one_bad_file_does_not_stop_a_folder(nextbest: Run, tmp_path: Path, orders: Run) -> None:
    """A file that cannot be understood is left out and named; alone it is an error that says what to do."""
    _, rows = orders()
    (tmp_path / "poem.csv").write_text("roses,are\nred,violets\nare,blue\n", encoding="utf-8")
    nextbest("init", tmp_path / "acme")
    said = nextbest("load", tmp_path / "poem.csv", tmp_path / "orders.csv", "-w", tmp_path / "acme", "--json")
    assert said.document["files"][0]["rows_accepted"] == rows
    assert any(note.startswith("poem.csv was left out") for note in said.document["notes"])
    alone = nextbest("load", tmp_path / "poem.csv", "-w", tmp_path / "acme", "--json")
    assert (alone.status, alone.document["error"]["code"]) == (1, "data")


def test_check_reports_per_table(nextbest: Run, shop: Path) -> None:
    """Check gives rows, missing, duplicates and problems with what to do, per kind."""
    tables = {t["kind"]: t for t in nextbest("check", "-w", shop, "--json").document["tables"]}
    assert tables["order"]["rows"] > 1000
    assert {"missing", "duplicates", "problems"} <= set(tables["order"])
    assert all({"code", "column", "rows", "what_to_do"} <= set(p) for t in tables.values() for p in t["problems"])


def test_a_no_said_with_an_address_binds_its_owner(nextbest: Run, shop: Path, tmp_path: Path) -> None:
    """A denial by e-mail stops the person's messages, whether the person was loaded before it or comes after it."""
    config = shop / "nextbest.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("opt_in", "opt_out"), encoding="utf-8")
    for address in ("C000@Example.com", "late@example.com"):
        said = nextbest("consent", address, "--deny", "--proof", "call", "-w", shop, "--json")
        assert said.document["allowed"] is False
    late = tmp_path / "late.csv"
    days = [f"late{n},900,late@example.com,2025-{n:02}-03,50" for n in range(1, 13)]
    late.write_text("\n".join(["order_id,customer_id,email,order_date,total", *days]), encoding="utf-8")
    assert nextbest("load", late, "-w", shop).status == 0
    assert nextbest("decide", "win_back", "-w", shop, "--json").document["removed_by"] == {"consent:denied": 2}


@pytest.mark.slow
def test_the_loop_from_fit_to_measure(nextbest: Run, shop: Path, tmp_path: Path) -> None:
    """Fit, predict, decide, send, measure and explain work one after the other on what the one before left."""
    fitted = nextbest("fit", "churn", "-w", shop, "--json").document
    assert fitted["status"] == "ok"
    assert {"auc", "ece", "top_decile_lift"} <= set(fitted["metrics"])
    assert fitted["baselines"]
    out = tmp_path / "churn.parquet"
    predicted = nextbest("predict", "churn", "--out", out, "-w", shop, "--json").document
    table = pq.read_table(out)
    assert table.num_rows == predicted["rows"]
    assert {"subject_id", "churn_probability", "churn_probability_low", "churn_probability_high"} <= set(
        table.column_names
    )

    for subject in range(0, 300, 2):
        _allow(nextbest, shop, f"{subject:03}")
    listed = tmp_path / "today.csv"
    decided = nextbest("decide", "win_back", "--out", listed, "-w", shop, "--json").document
    assert sum(decided["by_action"].values()) == decided["decided"] == sum(decided["by_arm"].values())
    assert decided["removed_by"]["consent:unknown"] >= 100
    with listed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == decided["decided"]
    acted = [r for r in rows if r["action_id"] != "none"]
    assert acted
    assert all(int(r["subject_id"]) % 2 == 0 for r in acted)
    assert all(0 < float(r["choice_probability"]) <= 1 for r in rows)

    sent = nextbest("send", "win_back", "--channel", "csv", "--dry-run", "-w", shop, "--json").document
    assert sent["sent"] == len(acted)
    effect = nextbest("measure", "win_back", "--outcome", "revenue_30d", "-w", shop, "--json").document
    assert effect["status"] in ("ok", "not_enough_data", "cannot_tell")
    assert effect["why"] or effect["estimate"] is not None
    told = nextbest("explain", "win_back", acted[0]["subject_id"], "-w", shop, "--json")
    assert told.status == 0
    told = nextbest("explain", "churn", acted[0]["subject_id"], "-w", shop, "--json")
    assert told.status == 0
    assert nextbest("watch", "churn", "-w", shop, "--json").document["recipes"][0]["recipe"] == "churn"
    assert nextbest("verify", "-w", shop, "--json").document["ok"] is True


def test_fit_from_a_flat_table_needs_no_workspace(
    nextbest: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flat table with a label is learnt in an empty folder, which becomes a workspace that can predict."""
    monkeypatch.chdir(tmp_path)
    lines = [
        "id,visits,age,plan,left",
        *(f"p{i},{i % 17},{20 + i * 7 % 50},{'ab'[i % 2]},{'yes' if i % 17 < 5 else 'no'}" for i in range(600)),
    ]
    (tmp_path / "people.csv").write_text("\n".join(lines), encoding="utf-8")
    flat = ("--table", "people.csv", "--id", "id")
    fitted = nextbest("fit", "churn", *flat, "--label", "left", "--positive", "yes", "--json").document
    assert fitted["status"] == "ok"
    predicted = nextbest("predict", "churn", *flat, "--out", "scores.csv", "--json").document
    assert (predicted["rows"], predicted["notes"]) == (600, [])
    (tmp_path / "people.csv").write_text("\n".join(lines).replace("p3,3,41,", "p3,3,old,"), encoding="utf-8")
    noted = nextbest("predict", "churn", *flat, "--json").document["notes"]
    assert noted == ["The model learnt 'age' as numbers; 1 of 600 values are read as missing, as they are none: 'old'."]


def test_too_little_data_is_an_answer(nextbest: Run, tmp_path: Path) -> None:
    """Five orders give status not_enough_data with what is missing, and exit status 0."""
    nextbest("init", tmp_path / "tiny")
    (tmp_path / "orders.csv").write_text(
        "order_id,customer_id,order_date,total\n" + "".join(f"o{i},c{i},2025-01-0{i + 1},10\n" for i in range(5)),
        encoding="utf-8",
    )
    nextbest("load", tmp_path / "orders.csv", "--as", "order", "-w", tmp_path / "tiny")
    for recipe in ("churn", "value"):
        said = nextbest("fit", recipe, "-w", tmp_path / "tiny", "--json")
        assert said.status == 0
        assert said.document["status"] == "not_enough_data"
        assert len(said.document["why"]) > 20


def test_erase_removes_and_gives_a_receipt(nextbest: Run, shop: Path) -> None:
    """A dry run changes nothing and lists what the erasure then removes; the e-mail finds the person."""
    planned = nextbest("erase", "c004@example.com", "--dry-run", "-w", shop, "--json").document
    done = nextbest("erase", "c004@example.com", "-w", shop, "--json").document
    assert done["subject_id"] == planned["subject_id"] == "004"
    assert done["receipt_id"]
    assert sum(done["removed"].values()) > 1
    again = nextbest("erase", "004", "-w", shop, "--json")
    assert again.status == 2
    assert again.document["error"]["code"] == "unknown_name"
    assert nextbest("verify", "-w", shop, "--json").document["ok"] is True


def test_backup_and_restore(nextbest: Run, shop: Path, tmp_path: Path) -> None:
    """A backup restored elsewhere holds the same rows and verifies."""
    before = nextbest("check", "-w", shop, "--json").document
    assert nextbest("backup", tmp_path / "shop.zip", "-w", shop, "--json").status == 0
    assert nextbest("restore", tmp_path / "shop.zip", "-w", tmp_path / "again", "--json").status == 0
    assert nextbest("check", "-w", tmp_path / "again", "--json").document == before
    assert nextbest("verify", "-w", tmp_path / "again", "--json").document["ok"] is True


def test_a_key_is_shown_once(nextbest: Run, shop: Path) -> None:
    """Create prints the key; the listing knows its id and not the key; a revoked key stays listed as ended."""
    made = nextbest("key", "create", "--scope", "decide", "-w", shop, "--json").document
    assert made["scopes"] == ["decide"]
    listing = nextbest("key", "list", "-w", shop, "--json").out
    assert made["id"] in listing
    assert made["key"] not in listing
    assert nextbest("key", "revoke", made["id"], "-w", shop, "--json").status == 0


def test_measure_a_trial_in_a_table(nextbest: Run, tmp_path: Path) -> None:
    """A flat trial gives the difference of the two arms with an interval around it, without a workspace."""
    rows = [f"{'mail' if i % 2 else 'none'},{int(i % 10 < (4 if i % 2 else 2))}" for i in range(4000)]
    (tmp_path / "trial.csv").write_text("\n".join(["arm,visit", *rows]), encoding="utf-8")
    call = ("measure", "--table", tmp_path / "trial.csv", "--outcome", "visit", "--treatment", "arm")
    effect = nextbest(*call, "--control", "none", "--json").document
    assert effect["status"] == "ok"
    assert effect["low"] < effect["estimate"] < effect["high"]


@pytest.mark.parametrize(
    "command", [("fit", "chrun"), ("decide", "win_bakc"), ("load",), ("measure", "--outcome", "x")]
)
def test_usage_errors_say_what_to_do(nextbest: Run, shop: Path, command: tuple[str, ...]) -> None:
    """A wrong name or a missing argument exits with 2, one JSON document, and a hint."""
    said = nextbest(*command, "-w", shop, "--json")
    assert said.status == 2
    assert len(said.document["error"]["message"]) > 20


def test_a_stop_without_a_readable_configuration_tells_the_other_way(nextbest: Run, tmp_path: Path) -> None:
    """When nextbest.toml cannot be read, `stop` fails and names the file that stops a running service all the same."""
    nextbest("init", tmp_path / "acme")
    (tmp_path / "acme" / "nextbest.toml").write_text("[plays.home\n", encoding="utf-8")
    said = nextbest("stop", "--why", "prices are wrong", "-w", tmp_path / "acme")
    assert said.status == 2
    assert "a file named `stop`" in said.err


def test_an_amount_is_approved_within_its_limits(nextbest: Run, tmp_path: Path) -> None:
    """A person sets the amount of a money action; one above its ceiling is refused, and the first one stands."""
    nextbest("init", tmp_path / "acme")
    config = tmp_path / "acme" / "nextbest.toml"
    price = '{ id = "price", class = "money", amount = 10, ceiling = 12 }'
    config.write_text(f"[plays.prices]\nactions = [{price}]\n", encoding="utf-8")
    asked = ("approve", "prices", "price", "--by", "Kim", "-w", tmp_path / "acme", "--json")
    said = nextbest(*asked, "--amount", "11").document
    assert said == {"play": "prices", "action": "price", "amount": 11.0, "by": "Kim"}
    refused = nextbest(*asked, "--amount", "13")
    assert refused.status == 1
    assert "above its ceiling of 12" in refused.document["error"]["message"]
    with operations.open(tmp_path / "acme") as ledger, ledger.journal.read() as connection:
        assert spent.amount(connection, "prices", "price") == 11.0


def test_no_workspace_is_said(nextbest: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a workspace a command fails with the way to make one."""
    monkeypatch.chdir(tmp_path)
    said = nextbest("check")
    assert said.status == 1
    assert "nextbest init" in said.err


def test_json_is_one_document_and_nothing_else(nextbest: Run, shop: Path) -> None:
    """Standard output holds one JSON document; the prose went to standard error."""
    said = nextbest("load", shop.parent / "orders.csv", "--as", "order", "-w", shop, "--json")
    decoder = json.JSONDecoder()
    _, end = decoder.raw_decode(said.out)
    assert said.out[end:].strip() == ""


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """When whoever reads the output closes it, as `| head` does, the command ends quietly with status 0."""
    command = [str(Path(sys.executable).with_name("nextbest")), "list", "recipes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_pairs_of_a_mapping() -> None:
    """Pairs of column=field may be split by commas or given again; anything else is refused with what was got."""
    assert pairs(("a=b,c d=e", "0=f")) == {"a": "b", "c d": "e", "0": "f"}
    with pytest.raises(UsageError, match="got 'a'"):
        pairs(("a",))


@pytest.mark.slow
def test_a_model_card_from_the_command_line(nextbest: Run, tmp_path: Path) -> None:
    """Without a subject a recipe tells its card: sentences, one document or a page; a subject has no page."""
    rows = [f"c{i},{i % 50},{'yes' if (i * 7) % 50 > i % 50 else 'no'}" for i in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(["who,tenure,left", *rows]), encoding="utf-8")
    fit = ("fit", "churn", "--table", tmp_path / "t.csv", "--id", "who", "--label", "left", "-w", tmp_path / "w")
    (tmp_path / "w").mkdir()
    assert nextbest(*fit).status == 0
    said = nextbest("explain", "churn", "-w", tmp_path / "w", "--out", tmp_path / "card.html")
    assert "300 rows" in said.out
    assert (tmp_path / "card.html").read_text("utf-8").startswith("<!doctype html>")
    assert nextbest("explain", "churn", "-w", tmp_path / "w", "--json").document["data"]["rows"] == 300
    refused = nextbest("explain", "churn", "c1", "-w", tmp_path / "w", "--out", tmp_path / "card.html")
    assert (refused.status, "leave out the subject" in refused.err) == (2, True)
    one = nextbest(
        "explain", "churn", "c1", "--threshold", "0.5", "--changeable", "tenure", "-w", tmp_path / "w", "--json"
    )
    assert one.document["details"]["changes"]["threshold"] == 0.5
