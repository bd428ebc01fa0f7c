"""Models on disk: what comes back is what was saved, or an error; never a dead process, never other predictions."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import ModelError, UnknownNameError
from nextbest.ledger import archive, create, erasure, marks
from nextbest.models import canaries, store
from nextbest.models.boosting import TREES, Boosting
from nextbest.models.pareto_nbd import ParetoNBD
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

START = datetime(2026, 1, 1, tzinfo=UTC)


def _features(rows: int = 200) -> pa.Table:
    draw = np.random.default_rng(0)
    return pa.table({"days": draw.exponential(30.0, rows), "plan": draw.choice(["a", "b", "c"], rows)})


@pytest.fixture(scope="module")
def model() -> Boosting:
    """Give a small fitted model."""
    features = _features()
    label = pa.table({"label": (features["days"].to_numpy() > 20).astype(float)})
    return Boosting(num_threads=1).fit(features, label)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace whose clock ticks with every look."""
    ticks = iter(range(10_000))
    with create(tmp_path / "w", clock=lambda: START + timedelta(seconds=next(ticks))) as made:
        yield made


def _fitted(model: Boosting, model_id: str = "churn-1", recipe: str = "churn", **parts: Any) -> Fitted:
    report = Report(recipe=recipe, status="ok", rows=200, metrics={"auc": 0.9}, intervals={"auc": (0.8, 0.95)})
    return Fitted(
        model_id=model_id, recipe=recipe, settings={"horizon_days": 60}, as_of="2026-01-01", report=report,
        parts={"model": model, **parts}, extra={"features": ["days"]},
    )  # fmt: skip


def test_what_comes_back_is_what_was_saved(ledger: Ledger, model: Boosting) -> None:
    """A loaded recipe has the same report, settings and predictions, whatever its parts."""
    histories = pa.table({"frequency": [0.0, 1, 2, 5] * 50, "recency": [0.0, 20, 50, 90] * 50, "T": [100.0] * 200})
    purchases = ParetoNBD().fit(histories, histories)
    fitted = _fitted(model, purchases=purchases)
    store.save(ledger, fitted, training_subjects=["c1"])
    loaded = store.load(ledger, "churn-1")
    assert loaded.report == fitted.report
    assert (loaded.settings, loaded.extra, loaded.as_of) == (fitted.settings, fitted.extra, fitted.as_of)
    assert loaded.parts["model"].predict(_features()).equals(model.predict(_features()))
    assert loaded.parts["purchases"].predict(histories).equals(purchases.predict(histories))
    assert store.verify(ledger) == []


def test_no_damage_goes_unnoticed(ledger: Ledger, model: Boosting) -> None:
    """Of 100 models with flipped, cut or lengthened files every one is refused, and this process lives (T7)."""
    store.save(ledger, _fitted(model), training_subjects=["c1"])
    store.load(ledger, "churn-1")
    folder, sound = ledger.path / "models" / "churn-1", ledger.path / "sound"
    shutil.copytree(folder, sound)
    draw = np.random.default_rng(7)
    files = sorted(f.relative_to(folder) for f in folder.rglob("*") if f.is_file() and f.name != store.CHECKED)
    assert len(files) == 4
    for _ in range(100):
        file = folder / files[draw.integers(len(files))]
        file.write_bytes(_damaged(file.read_bytes(), draw))
        with pytest.raises(ModelError, match="model"):
            store.load(ledger, "churn-1")
        assert len(store.verify(ledger)) == 1
        shutil.copyfile(sound / file.relative_to(folder), file)
    assert store.load(ledger, "churn-1").parts["model"].predict(_features()).equals(model.predict(_features()))


def _damaged(data: bytes, draw: np.random.Generator) -> bytes:
    at = int(draw.integers(len(data)))
    way = draw.integers(3)
    if way == 0:
        return data[:at]
    if way == 1:
        return data + draw.bytes(1 + at % 9)
    return data[:at] + bytes([data[at] ^ int(draw.integers(1, 256))]) + data[at + 1 :]


def test_a_missing_file_is_noticed(ledger: Ledger, model: Boosting) -> None:
    """A model without its trees is refused by name."""
    store.save(ledger, _fitted(model), training_subjects=[])
    (ledger.path / "models" / "churn-1" / "model" / TREES).unlink()
    with pytest.raises(ModelError, match=r"trees\.txt of a model cannot be read"):
        store.load(ledger, "churn-1")


def test_a_model_of_another_workspace_is_refused(ledger: Ledger, model: Boosting, tmp_path: Path) -> None:
    """A model folder copied from a workspace with another secret does not carry the right signature."""
    store.save(ledger, _fitted(model), training_subjects=[])
    with create(tmp_path / "other") as other:
        shutil.copytree(ledger.path / "models" / "churn-1", other.path / "models" / "churn-1")
        with pytest.raises(ModelError, match="does not carry this workspace's signature"):
            store.load(other, "churn-1")


def test_a_renamed_folder_is_refused(ledger: Ledger, model: Boosting) -> None:
    """A model does not answer to another model's id."""
    store.save(ledger, _fitted(model), training_subjects=[])
    shutil.copytree(ledger.path / "models" / "churn-1", ledger.path / "models" / "churn-2")
    with pytest.raises(ModelError, match="holds another model"):
        store.load(ledger, "churn-2")


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_signed_rubbish_ends_in_the_child(ledger: Ledger, model: Boosting, cut: float) -> None:
    """Trees that were cut short before they were signed are refused in the child process; this one lives."""
    store.save(ledger, _fitted(model), training_subjects=[])
    folder = ledger.path / "models" / "churn-1"
    text = (folder / "model" / TREES).read_bytes()
    text = text[: int(len(text) * cut)]
    (folder / "model" / TREES).write_bytes(text)
    said = json.loads((folder / "manifest.signed").read_bytes().partition(b"\n")[2])
    said["files"][f"model/{TREES}"] = hashlib.sha256(text).hexdigest()
    body = json.dumps(said).encode()
    (folder / "manifest.signed").write_bytes(store._signature(ledger, body) + b"\n" + body)
    with pytest.raises(ModelError, match="was refused when it was first loaded"):
        store.load(ledger, "churn-1")
    assert not (folder / store.CHECKED).exists()


def test_a_canary_that_sings_another_song_is_heard(
    ledger: Ledger, model: Boosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose predictions are not those that were written down is refused at its first loading."""
    make = canaries.make

    def false(model: Any, example: pa.Table | None = None) -> dict[str, Any] | None:
        canary = make(model, example)
        assert canary is not None
        return {**canary, "outputs": {"prediction": [v + 0.01 for v in canary["outputs"]["prediction"]]}}

    monkeypatch.setattr(canaries, "make", false)
    store.save(ledger, _fitted(model), training_subjects=[])
    with pytest.raises(ModelError, match="no longer says what it said"):
        store.load(ledger, "churn-1")


def test_only_the_first_loading_needs_a_child(ledger: Ledger, model: Boosting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second loading starts no process; a changed note, or a note of another model, does not count."""
    store.save(ledger, _fitted(model), training_subjects=[])
    store.save(ledger, _fitted(model, "churn-2"), training_subjects=[])
    calls: list[str] = []
    monkeypatch.setattr(store.sandbox, "check", lambda folder, sha256: calls.append(folder.name))
    store.load(ledger, "churn-1")
    store.load(ledger, "churn-1")
    assert calls == ["churn-1"]
    models = ledger.path / "models"
    shutil.copyfile(models / "churn-1" / store.CHECKED, models / "churn-2" / store.CHECKED)
    store.load(ledger, "churn-2")
    assert calls == ["churn-1", "churn-2"]


def test_the_latest_is_the_one_saved_last(ledger: Ledger, model: Boosting) -> None:
    """Saving an earlier model again makes it the latest; every recipe has its own."""
    for model_id in ("churn-1", "churn-2", "churn-1"):
        store.save(ledger, _fitted(model, model_id), training_subjects=[])
    store.save(ledger, _fitted(model, "value-1", "value"), training_subjects=[])
    assert store.latest(ledger, "churn").model_id == "churn-1"
    assert [f.model_id for f in store.newest(ledger)] == ["churn-1", "value-1"]
    with pytest.raises(UnknownNameError, match="no fitted model of the recipe 'chrn'"):
        store.latest(ledger, "chrn")


def test_the_damage_of_another_recipe_is_not_told(ledger: Ledger, model: Boosting) -> None:
    """Without a churn model the error says so, whatever is damaged; a damaged churn model is named."""
    for model_id, recipe in (("value-1", "value"), ("churn-early-1", "churn-early")):
        store.save(ledger, _fitted(model, model_id, recipe), training_subjects=[])
        (ledger.path / "models" / model_id / "manifest.signed").write_bytes(b"damaged")
    with pytest.raises(UnknownNameError, match=r"model of the recipe 'churn'.*Fit it first: nextbest fit churn"):
        store.latest(ledger, "churn")
    with pytest.raises(ModelError, match=r"No sound model of the recipe 'value' is left. models/value-1: The manifest"):
        store.latest(ledger, "value")


def test_a_damaged_newest_model_gives_way_to_the_one_before(ledger: Ledger, model: Boosting) -> None:
    """Live decisions go on with the last sound model; asking for the damaged one by name is an error."""
    store.save(ledger, _fitted(model, "churn-1"), training_subjects=[])
    store.save(ledger, _fitted(model, "churn-2"), training_subjects=[])
    (ledger.path / "models" / "churn-2" / "model" / TREES).write_bytes(b"tree")
    assert [f.model_id for f in store.newest(ledger)] == ["churn-1"]
    with pytest.raises(ModelError, match="is not the file that was signed"):
        store.load(ledger, "churn-2")


def test_a_killed_save_leaves_nothing_half_visible(
    ledger: Ledger, model: Boosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When writing fails half way, no model is there, and nothing is left over."""
    write = store._write

    def failing(path: Path, data: bytes) -> None:
        if path.name == "manifest.signed":
            raise OSError("disk full")
        write(path, data)

    monkeypatch.setattr(store, "_write", failing)
    with pytest.raises(OSError, match="disk full"):
        store.save(ledger, _fitted(model), training_subjects=[])
    assert list((ledger.path / "models").iterdir()) == []


def test_erasing_somebody_finds_the_models_they_taught(ledger: Ledger, model: Boosting) -> None:
    """The keyed list beside the model names who taught it to the ledger, and nobody to a reader of the file."""
    store.save(ledger, _fitted(model), training_subjects=["c1", "c2"])
    assert marks.trained_on(ledger, ["c2"]) == ("churn-1",)
    assert marks.trained_on(ledger, ["c3"]) == ()
    assert b"c1" not in (ledger.path / "models" / "churn-1" / store.SUBJECTS).read_bytes()


def test_a_model_whose_teacher_was_erased_is_to_be_refitted(ledger: Ledger, model: Boosting) -> None:
    """After an erasure the model is listed with its reason, and no longer once it has been fitted and saved again."""
    now = pa.array([START], pa.timestamp("us", tz="UTC"))
    rows = pa.table({"event_id": ["e1"], "subject_id": ["c1"], "ts": now, "revenue": [1.0]})
    archive.append(ledger, "order", rows, source="made up")
    store.save(ledger, _fitted(model))
    assert store.to_refit(ledger) == {}
    assert erasure.erase(ledger, "c1").models_marked == ("churn-1",)
    assert list(store.to_refit(ledger)) == ["churn-1"]
    store.save(ledger, _fitted(model))
    assert store.to_refit(ledger) == {}


@pytest.mark.parametrize("model_id", ["../x", "A", "", "a/b", "x" * 65, ".hidden"])
def test_ids_are_never_paths(ledger: Ledger, model_id: str) -> None:
    """What is no model id is refused before any file is touched."""
    with pytest.raises(ModelError, match="is no model id"):
        store.load(ledger, model_id)


def test_an_unknown_model_is_named_with_the_near_one(ledger: Ledger, model: Boosting) -> None:
    """Asking for a model that is not there tells which are."""
    store.save(ledger, _fitted(model), training_subjects=[])
    with pytest.raises(UnknownNameError, match="Did you mean 'churn-1'"):
        store.load(ledger, "churn-7")


def test_a_model_of_a_flat_table_does_not_hide_that_of_the_ledger(ledger: Ledger) -> None:
    """The newest models hold both: the one that learnt from a table saved later, and the one from the ledger before."""
    of_ledger = Fitted(
        model_id="churn-aaaaaaaaaaaaaaaa", recipe="churn", settings={"table": None}, as_of="2026-01-01", parts={},
        report=Report(recipe="churn", status="ok"),
    )  # fmt: skip
    of_table = replace(of_ledger, model_id="churn-bbbbbbbbbbbbbbbb", settings={"table": "customers.csv"})
    for fitted in (of_ledger, of_table):
        store.save(ledger, fitted)
    assert {f.model_id for f in store.newest(ledger)} == {of_ledger.model_id, of_table.model_id}
    assert store.latest(ledger, "churn").model_id == of_table.model_id
