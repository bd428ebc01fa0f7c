"""What a workspace remembers about files that it proposed a mapping for: text to be read and edited.

mappings/sales-3f9a1c20.toml      the next file with these headers is read as this one says
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, get_args

from nextbest.channels.headers import normalised
from nextbest.channels.used import completed
from nextbest.errors import ConfigError, nearest
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.mapping import Aggregate, ColumnRule, Emit, FileMapping, Parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextbest.channels.files import Opened

FOLDER = "mappings"
_HEAD = """\
# How {name} becomes facts. The next file with the same headers is read as this says: edit it if it is wrong.
#   source   a header of the file, or a position from 0        to     a column of the kind
#   parse    {parses}
# Delete the file to have the mapping proposed anew. Values that are left out have their defaults.
"""
_TEXTS: dict[str, tuple[str, ...]] = {"parse": get_args(Parse), "aggregate": get_args(Aggregate)}


def remember(workspace: Path, opened: Opened, mapping: FileMapping, *, said: bool = False) -> Path | None:
    """Keep a mapping that was proposed, or that the user *said*; one that is there already is left as it was edited."""
    if mapping.system != "file" and not said:
        return None
    path = _file(workspace, opened) or workspace / FOLDER / f"{_slug(mapping.table)}-{key(opened)}.toml"
    if path.exists() and not said:
        return path
    path.parent.mkdir(exist_ok=True)
    path.write_text(_written(mapping, opened), encoding="utf-8")
    return path


def recall(workspace: Path, opened: Opened) -> FileMapping | None:
    """Give the mapping remembered for a file with these headers, or None; raises `ConfigError` where it is wrong."""
    path = _file(workspace, opened)
    return None if path is None else completed(read(path), opened.columns)


def read(path: Path) -> FileMapping:
    """Give the mapping written in a file; unknown keys are refused with the nearest known one."""
    where = f"{FOLDER}/{path.name}"
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
    said.pop("headers", None)
    emits = tuple(_emit(e, where) for e in said.pop("emits", []))
    if not emits:
        raise ConfigError(f"{where} gives nothing: it needs [[emits]] with a kind. Delete it to start anew.")
    return FileMapping(**_checked(FileMapping, {**said, "emits": emits}, where))


def key(opened: Opened) -> str:
    """Give what a file is remembered by: its headers in any order and spelling; without headers, its name and width."""
    if opened.unnamed:
        text = f"{_slug(opened.name)} {len(opened.columns)}"
    else:
        text = "\n".join(sorted({normalised(c) for c in opened.columns}))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _file(workspace: Path, opened: Opened) -> Path | None:
    found = sorted((workspace / FOLDER).glob(f"*-{key(opened)}.toml"))
    return found[0] if found else None


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "file"


# --- reading ----------------------------------------------------------------------------------------------------------


def _emit(said: dict[str, Any], where: str) -> Emit:
    checked = _checked(Emit, said, where)
    name = str(checked["kind"])
    kind = find_kind(name)
    columns = tuple(_rule(r, where) for r in checked.get("columns", ()))
    for rule in columns:
        kind.column(rule.to)
    lists = {n: tuple(checked[n]) for n in ("group_by",) if n in checked}
    kept = {n: tuple(v) for n, v in checked.get("where", {}).items()}
    subject = tuple(_rule(r, where) for r in checked.get("subject", ()))
    return Emit(**{**checked, **lists, "columns": columns, "subject": subject, "where": kept})


def _rule(said: dict[str, Any], where: str) -> ColumnRule:
    checked = _checked(ColumnRule, said, where)
    for name, known in _TEXTS.items():
        if name in checked and checked[name] not in known:
            told = f"{where}: {name} is '{checked[name]}'.{nearest(str(checked[name]), known)}"
            raise ConfigError(f"{told} Known: {', '.join(known)}.")
    return ColumnRule(**{**checked, "path": tuple(checked.get("path", ()))})


def _checked(kind: type, said: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {f.name for f in fields(kind)}
    for name in said:
        if name not in known:
            raise ConfigError(f"{where} has no key '{name}'.{nearest(name, known)} Known: {', '.join(sorted(known))}.")
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    for name in missing:
        if name not in said:
            raise ConfigError(f"{where} lacks the key '{name}' in {kind.__name__}.")
    return dict(said)


# --- writing ----------------------------------------------------------------------------------------------------------


def _written(mapping: FileMapping, opened: Opened) -> str:
    lines = [_HEAD.format(name=opened.name, parses=", ".join(_TEXTS["parse"]))]
    names = ("system", "table", "confidence", "namespace", "ignore_unmatched")
    lines += [f"{name} = {_value(getattr(mapping, name))}" for name in names]
    lines.append(f"headers = {_value(list(opened.columns))}")
    lines += [line for emit in mapping.emits for line in _emit_lines(emit)]
    return "\n".join(lines) + "\n"


def _emit_lines(emit: Emit) -> Iterator[str]:
    yield "\n[[emits]]"
    yield f"kind = {_value(emit.kind)}"
    yield f"subject_type = {_value(emit.subject_type)}"
    for name in ("group_by", "unnest", "where", "constants"):
        if getattr(emit, name):
            yield f"{name} = {_value(getattr(emit, name))}"
    for name in ("subject", "columns"):
        yield f"{name} = ["
        yield from (f"  {_value(_differences(rule))}," for rule in getattr(emit, name))
        yield "]"


def _differences(rule: ColumnRule) -> dict[str, Any]:
    """Give what a rule says beyond the defaults."""
    said = {}
    for f in fields(ColumnRule):
        default = {} if f.name == "values" else f.default
        value = getattr(rule, f.name)
        if value != default:
            said[f.name] = value
    return said


def _value(value: Any) -> str:  # noqa: ANN401 (any TOML value)
    if isinstance(value, dict):
        inner = ", ".join(f"{_name(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)
