"""`nextbest.toml` to frozen values; unknown keys are refused with the nearest known one.

name = "acme"
currency = "EUR"

[consent]
regime = "opt_in"

[plays.win_back]
audience = "churn_probability > 0.5 and orders_365d >= 2"
actions = [{ id = "coupon_10", channel = "email", cost = 0.5 }]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from nextbest.errors import ConfigError, nearest
from nextbest.types import NO_ACTION, NONE, Play

if TYPE_CHECKING:
    from pathlib import Path

FILE = "nextbest.toml"
_RENAMED = {"class": "action_class"}
_WRITTEN = {name: key for key, name in _RENAMED.items()}
_NAMED = ("plays", "features", "recipes", "channels")
_WORDS = {
    str: 'text in quotes, such as "x"',
    float: "a number, such as 0.5",
    int: "a whole number, such as 7",
    bool: "true or false",
    tuple: "a list, such as [...]",
    Mapping: "a table, such as { name = ... } or [name]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """`opt_in`: unknown means no for outbound. `opt_out`: unknown means yes, a recorded no is a no.

    `gpc`: what `Sec-GPC: 1` on a request means: no for this `decision`, or `record` a no to marketing as well.
    """

    regime: Literal["opt_in", "opt_out"] = "opt_in"
    note: str = ""
    gpc: Literal["decision", "record"] = "decision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What analysis may use on this machine, and how far a live event may be in the future."""

    memory_mb: int = 1024
    threads: int = 2
    future_days: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Which names the service answers to, how much each caller may ask, and what else it serves.

    `rate`: requests per second of one key. `failures`: wrong keys per second of one address. 0: no limit. `public_url`:
    where people reach the service, for the links in messages. `workspaces`: folders that are served beside this one.
    `stale_after_days`: predictions published before that are taken as missing; the default is a weekly run, a day late.
    """

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    origins: tuple[str, ...] = ()
    rate: float = 200.0
    failures: float = 10.0
    public_url: str = ""
    workspaces: tuple[str, ...] = ()
    stale_after_days: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one workspace."""

    name: str = "workspace"
    currency: str = "EUR"
    timezone: str = "UTC"
    margin: float = 1.0
    consent: Consent = field(default_factory=Consent)
    limits: Limits = field(default_factory=Limits)
    server: Server = field(default_factory=Server)
    plays: Mapping[str, Play] = field(default_factory=dict)
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    channels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read(path: Path) -> Config:
    """Give the configuration of a workspace folder; raises `ConfigError` that names the key and the remedy."""
    file = path / FILE
    try:
        return parse(file.read_text(encoding="utf-8"), where=FILE)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8, as TOML has to be: {error.reason}. Save it as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}. Run `nextbest init` to make one.") from error


def parse(text: str, *, where: str = FILE) -> Config:
    """Give the configuration written in TOML *text*; the error of a wrong one begins with *where* and the place."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
    plays = raw.get("plays")
    if isinstance(plays, dict):
        raw["plays"] = {name: _play(name, play, where) for name, play in plays.items()}
    checked = _checked(Config, raw, where)
    try:
        return msgspec.convert(checked, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}.") from error


def _play(name: str, play: Any, where: str) -> Any:  # noqa: ANN401 (any TOML value)
    """Give the play its name, and `none` among its actions; what is no play is left for the check."""
    if not isinstance(play, dict):
        return play
    actions = play.get("actions", [])
    if not isinstance(actions, list):
        return {**play, "name": name}
    ids = [a["id"] for a in actions if isinstance(a, dict) and isinstance(a.get("id"), str)]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ConfigError(f"{where}, play '{name}': two actions have the id '{twice[0]}'. Give each action its own id.")
    none = [] if NO_ACTION in ids else [{f.name: getattr(NONE, f.name) for f in fields(NONE)}]
    return {**play, "name": name, "actions": [*actions, *none]}


# --- every setting by itself, so that an error can say which one and what it may be -----------------------------------


def _checked(kind: Any, table: Mapping[str, Any], where: str) -> dict[str, Any]:  # noqa: ANN401 (any dataclass)
    """Give the settings of a table by their names in *kind*; raises for an unknown, a missing or a wrong one."""
    hints = get_type_hints(kind)
    renamed = {_RENAMED.get(k, k): v for k, v in table.items()}
    known = sorted(_WRITTEN.get(name, name) for name in hints)
    for key in table:
        if _RENAMED.get(key, key) not in hints:
            raise ConfigError(f"{where} has no setting '{key}'.{nearest(key, known)} Known: {', '.join(known)}.")
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [_WRITTEN.get(name, name) for name in needed if name not in renamed]:
        raise ConfigError(f"{where} lacks the setting '{lacking[0]}'.")
    return {name: _value(hints[name], value, where, _WRITTEN.get(name, name)) for name, value in renamed.items()}


def _value(hint: Any, value: Any, where: str, name: str) -> Any:  # noqa: ANN401 (any annotation, any TOML value)
    """Give one setting's value, what lies within it checked too."""
    inner = next((a for a in (hint, *get_args(hint)) if is_dataclass(a)), None)
    if get_origin(hint) is tuple and isinstance(value, list):
        return [_value(get_args(hint)[0], v, where, _entry(name, v, i)) for i, v in enumerate(value, start=1)]
    if get_origin(hint) is Mapping and isinstance(value, dict):
        return {key: _value(get_args(hint)[1], v, where, _member(name, key)) for key, v in value.items()}
    if inner is not None and isinstance(value, dict):
        return _checked(inner, value, f"{where}, {name}")
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {name} is {_shown(value)}.{_wanted(hint, value)}") from error
    return value


def _entry(name: str, value: Any, number: int) -> str:  # noqa: ANN401 (any TOML value)
    """Give what an entry of a list is called: action 'coupon_10', or cap 2."""
    own = value.get("id") if isinstance(value, dict) else None
    return f"{name.removesuffix('s')} '{own}'" if isinstance(own, str) else f"{name.removesuffix('s')} {number}"


def _member(name: str, key: str) -> str:
    """Give what a member of a table is called: play 'win_back', or policy.explore."""
    return f"{name.removesuffix('s')} '{key}'" if name in _NAMED else f"{name}.{key}"


def _shown(value: Any) -> str:  # noqa: ANN401 (any TOML value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return repr(value)
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else f"a date, {value}"


def _wanted(hint: Any, value: Any) -> str:  # noqa: ANN401 (any annotation, any TOML value)
    """Say what a setting may be."""
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        close = nearest(value, allowed) if isinstance(value, str) else ""
        return f"{close} It can be: {', '.join(allowed)}."
    whole = get_origin(hint) or next((a for a in get_args(hint) if a is not NoneType), hint)
    plain = next((a for a in get_args(hint) if a in _WORDS), whole)
    return f" It has to be {_WORDS.get(whole) or _WORDS.get(plain) or 'a table'}."
