"""Fitted models on disk: native files beside a signed manifest; nothing is parsed before its signature and hash agree.

    models/<model_id>/
      manifest.signed     first line the HMAC-SHA256 of the rest under the workspace's secret, then JSON
      <part>/<file>       as the model wrote it
      subjects.bin        keyed digests of who taught it, so that erasing somebody can mark it
      checked             signed note that a child process has loaded it here and its canaries sang

A model that a workspace meets for the first time is loaded in a child process with limits (`sandbox.py`): LightGBM
ends the whole process on some damaged texts, and a signature does not say that this machine computes the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest import registry
from nextbest.errors import ModelError, NextbestError, UnknownNameError, unknown
from nextbest.ledger import faults, marks, rollout
from nextbest.ledger.times import to_micros
from nextbest.models import canaries, sandbox
from nextbest.models.sandbox import MANIFEST, part_files
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from nextbest.ledger import Ledger
    from nextbest.types import Model

SUBJECTS = marks.SUBJECTS
CHECKED = "checked"
_FORMAT = 1
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_LARGEST = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a signed manifest says, and the SHA-256 of its bytes."""

    sha256: str
    said: Mapping[str, Any]


def subject_list(ledger: Ledger, subject_ids: Sequence[str]) -> bytes:
    """Give the content of `subjects.bin`; a model part that carries a file of that name hands it to `save`."""
    return marks.subjects_bytes(ledger, subject_ids)


def save(
    ledger: Ledger,
    fitted: Fitted,
    *,
    training_subjects: Sequence[str] | None = None,
    examples: Mapping[str, pa.Table] | None = None,
) -> None:
    """Write a fitted recipe to `models/<model_id>`, whole or not at all; saving it again makes it the latest.

    *training_subjects* default to what the parts carry, else to everyone the ledger knows. *examples* are inputs for
    the canaries of parts that do not bring their own.
    """
    folder = _folder(ledger, fitted.model_id)
    files = _files_of(fitted)
    subjects = _subjects(ledger, fitted, training_subjects)
    said = _said(ledger, fitted, files, subjects, examples or {})
    body = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    content = {**files, SUBJECTS: subjects, MANIFEST: _signature(ledger, body) + b"\n" + body}
    if folder.exists():
        for name, data in content.items():  # the manifest comes last: until then the old one stands
            _replace(folder / name, data)
        return
    temporary = folder.parent / f".new-{secrets.token_hex(8)}"
    try:
        for name, data in content.items():
            _write(temporary / name, data)
        faults.at("publish", f"rename {folder.name}")
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync(folder.parent)


def load(ledger: Ledger, model_id: str) -> Fitted:
    """Give a fitted recipe; raises `ModelError` when anything about it does not agree with its signature."""
    folder = _folder(ledger, model_id)
    if not folder.is_dir():
        raise unknown("model", model_id, [f.name for f in _folders(ledger)])
    manifest = _manifest(ledger, folder)
    if manifest.said["model_id"] != model_id:
        raise ModelError(f"The folder {model_id} holds another model ('{manifest.said['model_id']}'). Fit it again.")
    files = part_files(folder, manifest.said)
    _checked_here(ledger, folder, manifest)
    return _fitted(manifest.said, files)


def latest(ledger: Ledger, recipe: str) -> Fitted:
    """Give the model that serves for a recipe, else the one saved last; raises `UnknownNameError` when none was."""
    found = [(m, f) for m, f in _readable(ledger) if m.said["recipe"] == recipe]
    if not found:
        # A manifest that cannot be trusted does not tell its recipe; ids are `<recipe>-<digest>`.
        damaged = [text for name, text in _damaged(ledger) if name.rpartition("-")[0] == recipe]
        if damaged:
            raise ModelError(f"No sound model of the recipe '{recipe}' is left. {damaged[0]}")
        fitted = {m.said["recipe"] for m, _ in _readable(ledger)}
        missing = unknown("fitted model of the recipe", recipe, fitted)
        if recipe in (*registry.names("recipes"), *ledger.config.recipes):
            raise UnknownNameError(f"{missing} Fit it first: nextbest fit {recipe}.")
        raise missing
    return load(ledger, _newest(found, serving(ledger))[1].name)


def serving(ledger: Ledger) -> dict[str, str]:
    """Give the model that was last said to serve, by recipe."""
    with ledger.journal.read() as connection:
        return rollout.serving(connection)


def versions(ledger: Ledger) -> list[tuple[Mapping[str, Any], str]]:
    """Give what the sound manifests say, oldest first, each with the id of its model."""
    found = ((m.said, folder.name) for m, folder in _readable(ledger))
    return sorted(found, key=lambda v: (v[0]["saved_us"], v[1]))


def newest(ledger: Ledger) -> tuple[Fitted, ...]:
    """Give the model that serves for every recipe, else the latest; a damaged one gives way to the one before it.

    A model that learnt from a flat table stands beside the one that learnt from the ledger: it speaks of other rows.
    """
    by_recipe: dict[tuple[str, bool], list[tuple[Manifest, Path]]] = {}
    for manifest, folder in _readable(ledger):
        settings = manifest.said["settings"]
        flat = bool(settings.get("table") or settings.get("label"))
        by_recipe.setdefault((manifest.said["recipe"], flat), []).append((manifest, folder))
    serves = serving(ledger)
    found = (_first_sound(ledger, models, serves) for _, models in sorted(by_recipe.items()))
    return tuple(f for f in found if f is not None)


def verify(ledger: Ledger) -> list[str]:
    """Give one sentence per model whose files do not agree with its signature; [] when all is well."""
    return [text for _, text in _damaged(ledger)]


def to_refit(ledger: Ledger) -> dict[str, str]:
    """Give, by model id, why a model that is kept here has to be fitted again: somebody who taught it was erased."""
    marked = marks.marked(ledger)
    saved = {folder.name: manifest.said["saved_us"] for manifest, folder in _readable(ledger)}
    return {name: why for name, (why, since) in marked.items() if name in saved and since >= saved[name]}


# --- writing ----------------------------------------------------------------------------------------------------------


def _files_of(fitted: Fitted) -> dict[str, bytes]:
    """Give the parts' files by their path below the model's folder."""
    found = {}
    for part, model in fitted.parts.items():
        for name, data in model.files.items():
            if not _FILE.fullmatch(part) or not _FILE.fullmatch(name):
                raise ModelError(f"'{part}/{name}' cannot be a file name: letters, digits, '.', '_' and '-' only.")
            if name != SUBJECTS:
                found[f"{part}/{name}"] = bytes(data)
    return found


def _subjects(ledger: Ledger, fitted: Fitted, given: Sequence[str] | None) -> bytes:
    if given is not None:
        return subject_list(ledger, given)
    carried = [model.files[SUBJECTS] for model in fitted.parts.values() if SUBJECTS in model.files]
    if carried:
        width = 8
        prefixes = {data[at : at + width] for data in carried for at in range(0, len(data), width)}
        return b"".join(sorted(prefixes))
    from nextbest.ledger import summary

    return subject_list(ledger, summary.subjects(ledger))


def _said(
    ledger: Ledger, fitted: Fitted, files: Mapping[str, bytes], subjects: bytes, examples: Mapping[str, pa.Table]
) -> dict[str, Any]:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in {**files, SUBJECTS: subjects}.items()}
    parts = {
        name: {"class": _registered(model), "settings": _settings(model), "columns": list(_columns(model))}
        for name, model in fitted.parts.items()
    }
    return {
        "format": _FORMAT,
        "model_id": fitted.model_id,
        "recipe": fitted.recipe,
        "settings": dict(fitted.settings),
        "as_of": fitted.as_of,
        "saved_us": to_micros(ledger.clock()),
        "report": msgspec.to_builtins(fitted.report),
        "extra": dict(fitted.extra),
        "parts": parts,
        "files": hashes,
        "training": {"subjects": len(subjects) // 8},
        "canaries": {n: c for n, m in fitted.parts.items() if (c := canaries.make(m, examples.get(n))) is not None},
        "versions": sandbox.versions(),
    }


def _registered(model: Model) -> str:
    """Give the registry's name of a model's class: only those can be loaded again."""
    for name in registry.names("models"):
        if registry.find("models", name) is type(model):
            return name
    raise ModelError(f"{type(model).__name__} is not among the registered models, so it could never be loaded again.")


def _settings(model: Model) -> dict[str, Any]:
    return {f.name: getattr(model, f.name) for f in fields(model) if f.init and f.name != "files"}  # type: ignore[arg-type]


def _columns(model: Model) -> Sequence[str]:
    columns: Sequence[str] = getattr(model, "columns", ())
    return columns


def _write(path: Path, data: bytes) -> None:
    faults.at("publish", f"write {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".new-{secrets.token_hex(8)}")
    _write(temporary, data)
    faults.at("publish", f"rename {path.name}")
    temporary.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading ----------------------------------------------------------------------------------------------------------


def _folder(ledger: Ledger, model_id: str) -> Path:
    if not _ID.fullmatch(model_id):
        raise ModelError(f"'{model_id}' is no model id: up to 64 small letters, digits, '_' and '-'.")
    return ledger.path / "models" / model_id


def _folders(ledger: Ledger) -> list[Path]:
    return sorted(f for f in (ledger.path / "models").glob("*") if f.is_dir() and _ID.fullmatch(f.name))


def _readable(ledger: Ledger) -> Iterator[tuple[Manifest, Path]]:
    for folder in _folders(ledger):
        try:
            yield _manifest(ledger, folder), folder
        except ModelError:
            continue


def _damaged(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Give model id and a sentence for every model whose files do not agree with its signature."""
    for folder in _folders(ledger):
        try:
            part_files(folder, _manifest(ledger, folder).said)
        except ModelError as error:
            yield folder.name, f"models/{folder.name}: {error}"


def _newest(models: Sequence[tuple[Manifest, Path]], serves: Mapping[str, str]) -> tuple[Manifest, Path]:
    """Give the model that serves, else the one saved last."""
    return max(models, key=lambda m: (serves.get(m[0].said["recipe"]) == m[1].name, m[0].said["saved_us"], m[1].name))


def _first_sound(ledger: Ledger, models: Sequence[tuple[Manifest, Path]], serves: Mapping[str, str]) -> Fitted | None:
    left = list(models)
    while left:
        last = _newest(left, serves)
        try:
            return load(ledger, last[1].name)
        except ModelError:
            left.remove(last)
    return None


def _manifest(ledger: Ledger, folder: Path) -> Manifest:
    """Give the manifest, its signature checked before a byte of it is parsed."""
    data = sandbox.read(folder / MANIFEST, _LARGEST)
    signature, _, body = data.partition(b"\n")
    if not hmac.compare_digest(signature, _signature(ledger, body)):
        raise ModelError(
            f"The manifest of model {folder.name} does not carry this workspace's signature: it was damaged, changed or"
            " brought from elsewhere. Fit the model again."
        )
    return Manifest(sha256=hashlib.sha256(data).hexdigest(), said=json.loads(body))


def _signature(ledger: Ledger, body: bytes) -> bytes:
    return hmac.digest(ledger.secret, b"nextbest model manifest\0" + body, "sha256").hex().encode()


def _checked_here(ledger: Ledger, folder: Path, manifest: Manifest) -> None:
    """Load the model in a child once per manifest and versions; the signed note keeps that it went well."""
    text = json.dumps([manifest.sha256, sandbox.versions()], sort_keys=True)
    note = hmac.digest(ledger.secret, b"nextbest model checked\0" + text.encode(), "sha256").hex().encode()
    try:
        if hmac.compare_digest((folder / CHECKED).read_bytes(), note):
            return
    except OSError:
        pass  # no note yet
    sandbox.check(folder, manifest.sha256)
    _replace(folder / CHECKED, note)


def _fitted(said: Mapping[str, Any], files: Mapping[str, Mapping[str, bytes]]) -> Fitted:
    try:
        return Fitted(
            model_id=said["model_id"],
            recipe=said["recipe"],
            settings=said["settings"],
            as_of=said["as_of"],
            parts=sandbox.parts(said, files),
            report=msgspec.convert(said["report"], Report),
            extra=said["extra"],
        )
    except (KeyError, msgspec.ValidationError, NextbestError) as error:
        raise ModelError(f"Model {said.get('model_id')} cannot be rebuilt: {error}. Fit it again.") from error
