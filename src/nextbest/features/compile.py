"""Features to one SQL query: one scan per kind of event, aggregates filtered by window, joined on the subject.

The query takes the parameter `as_of` (microseconds since 1970 UTC), and `subject_id` for one subject; lists of
subjects and of moments are read from the tables `wanted (subject_id)` and `cuts (subject_id, as_of)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from nextbest.features.aggregates import GAP, T, aggregate, condition_of, inner_columns, is_gap
from nextbest.features.dialects import DAY_US, Dialect, dialect_named, number, whole
from nextbest.features.language import ZERO_WHEN_NONE, Feature, distinct_names, kinds_used

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Whom = Literal["seen", "all", "wanted", "one", "cuts"]

_SUBJECT = exp.column("subject_id")
_AS_OF = exp.column("as_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one pass over one kind reads, and for whom."""

    name: str
    kind: str
    features: tuple[Feature, ...]
    gaps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What holds for a whole query."""

    dialect: Dialect
    whom: Whom
    known: bool
    sources: Mapping[str, str]

    @property
    def as_of(self) -> exp.Expr:
        """The moment: a parameter, or a column when every subject has its own."""
        if self.whom == "cuts":
            return exp.column("as_of", table="cut")
        return exp.cast(exp.Placeholder(this="as_of"), "BIGINT")

    @property
    def keys(self) -> list[exp.Expr]:
        """What one row of the answer is about."""
        return [_SUBJECT.copy(), _AS_OF.copy()] if self.whom == "cuts" else [_SUBJECT.copy()]


def compile_features(
    features: Iterable[Feature],
    *,
    dialect: str = "duckdb",
    whom: Whom = "seen",
    known: bool = False,
    sources: Mapping[str, str] | None = None,
) -> exp.Select:
    """Give the query: `subject_id` (and `as_of` for `cuts`), then one double per feature, in order of the subject.

    `whom`: everyone seen in the kinds used, all (also those with attributes only), the table `wanted`, the parameter
    `subject_id`, or the table `cuts`.
    `known` also demands `received_ts < as_of`. `sources` gives other table names for kinds.
    """
    listed = distinct_names(features)
    setting = Setting(dialect=dialect_named(dialect), whom=whom, known=known, sources=sources or {})
    scans = _scans(listed, ("subjects",) if whom == "all" else ())
    query = exp.Select()
    for scan in scans:
        query = query.with_(scan.name, as_=_scan(scan, setting), copy=False)
    query = query.with_("people", as_=_people(scans, setting), copy=False)
    home = {p.name: s for s in scans for p in s.features}
    keys = [exp.column(k.name, table="people") for k in setting.keys]
    values = [_value(f, home).as_(f.name, quoted=True) for f in listed]
    query = query.select(*keys, *values, copy=False).from_("people", copy=False)
    for scan in scans:
        query = query.join(scan.name, on=_same_person(scan, setting), join_type="left", copy=False)
    return query.order_by(*[k.copy() for k in keys], copy=False)


def _same_person(scan: Scan, setting: Setting) -> exp.Expr:
    pairs = [(exp.column(k.name, table=scan.name), exp.column(k.name, table="people")) for k in setting.keys]
    return exp.and_(*[exp.EQ(this=a, expression=b) for a, b in pairs])


def _scans(features: Sequence[Feature], also: Sequence[str]) -> list[Scan]:
    """Give one scan per kind, and one more per filter and window whose gaps are asked for."""
    kinds = sorted({*kinds_used(features), *also})
    parts = tuple(dict.fromkeys(p for f in features for p in f.parts()))
    scans = [
        Scan(name=f"of_{k}", kind=k, features=tuple(p for p in parts if p.kind == k and not is_gap(p))) for k in kinds
    ]
    sequences = dict.fromkeys((p.kind, p.where, p.window_days) for p in parts if is_gap(p))
    for place, (name, where, days) in enumerate(sequences):
        same = tuple(p for p in parts if is_gap(p) and (p.kind, p.where, p.window_days) == (name, where, days))
        scans.append(Scan(name=f"gaps_{place}", kind=name, features=same, gaps=True))
    return scans


def _scan(scan: Scan, setting: Setting) -> exp.Select:
    """Give one row per subject (and moment) with one column per feature of a scan."""
    inner = _gap_rows(scan, setting) if scan.gaps else _rows(scan, setting)
    columns = [aggregate(f, setting.dialect).as_(f.name, quoted=True) for f in scan.features]
    return exp.select(*setting.keys, *columns).from_(inner.subquery("happened")).group_by(*setting.keys)


def _rows(scan: Scan, setting: Setting) -> exp.Select:
    """Give one row per event before the moment, with what the aggregates need of it."""
    name = exp.to_identifier(setting.sources.get(scan.kind, scan.kind), quoted=True)
    source = exp.Table(this=name, alias=exp.to_identifier("event"))
    subject = exp.column("subject_id", table="event")
    moment = _moment(scan.kind, setting)
    columns = inner_columns(scan.features, setting.dialect)
    query = exp.select(subject.copy(), setting.as_of.as_("as_of"), moment.as_(T), *columns).from_(source)
    query = query.where(_before(scan.kind, setting))
    if setting.known:
        received = setting.dialect.micros(exp.column("received_ts", table="event"))
        query = query.where(exp.LT(this=received, expression=setting.as_of))
    match setting.whom:
        case "one":
            return query.where(exp.EQ(this=subject, expression=exp.Placeholder(this="subject_id")))
        case "wanted":
            return query.where(exp.In(this=subject, query=exp.select("subject_id").from_("wanted").subquery()))
        case "cuts":
            on = exp.EQ(this=exp.column("subject_id", table="cut"), expression=subject)
            return query.join("cuts AS cut", on=on)
        case _:
            return query


def _moment(name: str, setting: Setting) -> exp.Expr:
    """Give when an event happened; for a state of a subject, what orders it among the others."""
    if name != "subjects":
        return setting.dialect.micros(exp.column("ts", table="event"))
    moments = [setting.dialect.micros(exp.column(c, table="event")) for c in ("valid_from", "received_ts")]
    return exp.func("COALESCE", *moments, whole(0))


def _before(name: str, setting: Setting) -> exp.Expr:
    """Give the condition that a row was there before the moment; a state of unknown moment always was."""
    if name != "subjects":
        return exp.LT(this=_moment(name, setting), expression=setting.as_of)
    stated = exp.column("valid_from", table="event")
    earlier = exp.LT(this=setting.dialect.micros(stated), expression=setting.as_of)
    return exp.paren(exp.or_(exp.Is(this=stated.copy(), expression=exp.Null()), earlier))


def _gap_rows(scan: Scan, setting: Setting) -> exp.Select:
    """Give one row per event with the time since the one before it (null for the first), within filter and window."""
    one = scan.features[0]
    query = _rows(Scan(name=scan.name, kind=scan.kind, features=()), setting)
    if one.where:
        query = query.where(condition_of(one, setting.dialect))
    if one.window_days:
        moment = _moment(scan.kind, setting)
        since = exp.Sub(this=setting.as_of, expression=whole(one.window_days * DAY_US))
        query = query.where(exp.GTE(this=moment, expression=since))
    before = exp.Window(
        this=exp.Lag(this=exp.column(T)), partition_by=setting.keys, order=exp.Order(expressions=[exp.column(T)])
    )
    gap = exp.Sub(this=exp.column(T), expression=before).as_(GAP)
    return exp.select(*setting.keys, exp.column(T), gap).from_(query.subquery("happened"))


def _people(scans: Sequence[Scan], setting: Setting) -> exp.Query:
    """Give one row per subject (and moment) of the answer."""
    match setting.whom:
        case "one":
            return exp.select(exp.Placeholder(this="subject_id").as_("subject_id"))
        case "wanted":
            return exp.select("subject_id").distinct().from_("wanted")
        case "cuts":
            return exp.select("subject_id", "as_of").distinct().from_("cuts")
        case _:
            parts: list[exp.Query] = [exp.select("subject_id").from_(s.name) for s in scans if not s.gaps]
            people = parts[0]
            for part in parts[1:]:
                people = exp.union(people, part, distinct=True)
            return people


def _value(feature: Feature, home: Mapping[str, Scan]) -> exp.Expr:
    """Give the finished value of a feature: zero where nothing happened and nothing is a number, else null."""
    if feature.of:
        over, under = (_value(f, home) for f in feature.of)
        return exp.Div(this=over, expression=exp.func("NULLIF", under, number(0.0)))
    column = exp.column(exp.to_identifier(feature.name, quoted=True), table=home[feature.name].name)
    return exp.func("COALESCE", column, number(0.0)) if feature.aggregate in ZERO_WHEN_NONE else column
