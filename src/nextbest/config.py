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
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from nextbest.errors import ConfigError, nearest
from nextbest.types import NO_ACTION, NONE, Play

if TYPE_CHECKING:
    from pathlib import Path

FILE = "nextbest.toml"
_RENAMED = {"class": "action_class"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """`opt_in`: unknown means no for outbound. `opt_out`: unknown means yes, a recorded no is a no."""

    regime: Literal["opt_in", "opt_out"] = "opt_in"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What analysis may use on this machine, and how far a live event may be in the future."""

    memory_mb: int = 1024
    threads: int = 2
    future_days: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the service listens and which names it answers to."""

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    origins: tuple[str, ...] = ()


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
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}. Run `nextbest init` to make one.") from error


def parse(text: str, *, where: str = FILE) -> Config:
    """Give the configuration written in TOML *text*."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
    for name, play in raw.get("plays", {}).items():
        if isinstance(play, dict):
            raw["plays"][name] = _play(name, play)
    checked = _known_keys(Config, raw, where)
    try:
        return msgspec.convert(checked, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}.") from error


def _play(name: str, play: dict[str, Any]) -> dict[str, Any]:
    """Give the play its name, and `none` among its actions."""
    actions = play.get("actions", [])
    ids = [a.get("id") for a in actions if isinstance(a, dict)]
    if len(ids) != len(set(ids)):
        raise ConfigError(f"Play '{name}' has two actions with the same id. Give each action its own id.")
    none = [] if NO_ACTION in ids else [{f.name: getattr(NONE, f.name) for f in fields(NONE)}]
    return {**play, "name": name, "actions": [*actions, *none]}


def _known_keys(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 (any annotation, any TOML value)
    """Rename at the door and refuse unknown keys, all the way down."""
    if is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        renamed: dict[str, Any] = {_RENAMED.get(k) or k: v for k, v in value.items()}
        for key in renamed:
            if key not in hints:
                known = sorted(hints)
                raise ConfigError(f"{where} has no setting '{key}'.{nearest(key, known)} Known: {', '.join(known)}.")
        return {k: _known_keys(hints[k], v, f"{where}, {k}") for k, v in renamed.items()}
    if get_origin(kind) is Mapping and isinstance(value, dict):
        return {k: _known_keys(get_args(kind)[1], v, f"{where}.{k}") for k, v in value.items()}
    if get_origin(kind) is tuple and isinstance(value, list):
        return [_known_keys(get_args(kind)[0], v, where) for v in value]
    options = [a for a in get_args(kind) if is_dataclass(a)]
    return _known_keys(options[0], value, where) if options and isinstance(value, dict) else value
