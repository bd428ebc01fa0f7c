"""Which kinds of customers do we have? Groups that come out again and stand apart, or the answer that there are none.

    fitted = nb.fit(ledger, Segments(), as_of="2026-01-01")
    nb.predict(ledger, fitted, as_of="2026-01-01")["segment"]

A segment is an audience: a play's audience may say segment == 'recent, frequent'.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.ledger import analysis
from nextbest.models import kmeans, stability
from nextbest.models.encode_values import numbers, plain
from nextbest.recipes import flat_table, rfm, segment_names, segment_words
from nextbest.recipes.fitting import model_id, not_enough, settings_of, training_subjects
from nextbest.recipes.held_out_money import Difference, difference
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Vector = NDArray[np.float64]

FEWEST_ROWS = 100  # ten of each of the smallest groups that are looked for, in every draw
MOST_COLUMNS = 61  # beyond some dozens distances are all alike (Beyer et al. 1999); with the id
_AMOUNT_LEVELS = 10  # a column with fewer different numbers is a code or a yes/no, not an amount
# Recency, frequency, money, and how people buy; one of each, as near copies would count twice in a distance.
BEHAVIOUR = (
    "days_since_last_order", "orders_365d", "revenue_365d", "discount_share_365d", "distinct_categories_365d",
    "days_since_first_order", "page_views_30d", "message_click_rate_365d",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """`method` "groups" finds groups (`k`: cut into so many, whether they stand apart or not); "rfm" is the grid.

    `columns` are the features, or a flat `table`'s columns, that count; by default recency, frequency, money and how
    people buy, or every column of amounts. `horizon_days` after the moment of learning tell whether segments differ.
    """

    name: str = field(default="segments", init=False)
    method: Literal["groups", "rfm"] = "groups"
    k: int | None = None
    most: int = 8
    columns: tuple[str, ...] = ()
    table: str | pa.Table | None = None
    id: str | None = None
    horizon_days: int = 60
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Find the segments of who is known before `as_of`; `cannot_tell` when none are stable and apart."""
        began = clock.perf_counter()
        features = self.features(ledger, as_of)
        report = Report(recipe=self.name, status="ok", as_of=as_of.isoformat(), rows=features.num_rows)
        if features.num_rows < FEWEST_ROWS or not 1 < features.num_columns <= MOST_COLUMNS:
            return not_enough(self.name, settings_of(self), replace(report, why=_missing(features)))
        fitted = self._grid(features, report) if self.method == "rfm" else self._groups(ledger, features, report)
        if fitted.report.status == "ok" and self.table is None:
            fitted = replace(fitted, report=_judged(self, ledger, fitted, as_of))
        seconds = round(clock.perf_counter() - began, 3)
        return replace(fitted, report=replace(fitted.report, seconds=seconds))

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
        """Give `subject_id`, `segment` and `segment_confidence` (0 between two segments, 1 in the middle of one)."""
        return self._named(fitted, self.features(ledger, as_of))

    def _named(self, fitted: Fitted, features: pa.Table) -> pa.Table:
        if self.method == "rfm":
            names = rfm.segments(features, fitted.extra["cuts"])
            confidence = pa.nulls(features.num_rows, pa.float64())
        else:
            said = fitted.parts["model"].predict(features)
            names = [fitted.extra["names"][int(i)] for i in said["prediction"].to_pylist()]
            confidence = said["confidence"]
        return pa.table({
            "subject_id": features["subject_id"],
            "segment": pa.array(names, pa.string()),
            "segment_confidence": confidence,
        })  # fmt: skip

    def words(self, ledger: Any, fitted: Fitted, subject_id: str, *, as_of: datetime) -> tuple[str, ...]:  # noqa: ANN401
        """Give what sets a person's segment apart, and where they stand in it."""
        features = self.features(ledger, as_of)
        row = features.filter(pc.equal(features["subject_id"], subject_id))
        said = self._named(fitted, row).to_pylist()[0]
        values = row.drop_columns(["subject_id"]).to_pylist()[0]
        described = fitted.report.details.get("segments", ())
        return segment_words.words(values, said["segment"], said["segment_confidence"], described)

    def _groups(self, ledger: Any, features: pa.Table, report: Report) -> Fitted:  # noqa: ANN401
        names = [n for n in features.column_names if n != "subject_id"]
        raw = kmeans.columns(features, names)
        points = kmeans.scaled(raw, [kmeans.scale(raw[:, i]) for i in range(len(names))])
        found = stability.tried(points, most=max(self.most, self.k or 0), seed=self.seed)
        standing = stability.best(found)
        details = {"tried": [_told(t) for t in found]}
        if standing is None and self.k is None:
            said = replace(report, status="cannot_tell", why=_none(found), details=details)
            return Fitted(
                model_id="", recipe=self.name, settings=settings_of(self), as_of=report.as_of, parts={}, report=said
            )
        k = self.k or standing or 2
        model = kmeans.KMeans(k=k, seed=self.seed).fit(features)
        labels = model.predict(features)["prediction"].to_numpy().astype(np.int64)
        drivers = segment_names.drivers(points, labels, names)
        called = segment_names.named(drivers)
        chosen = next((t for t in found if t.k == k), None)
        told = replace(
            report,
            why=_chosen(k, chosen),
            evaluation="groupings of two draws with replacement compared on all rows; valleys by the dip test",
            metrics={"segments": float(k), **({"stability": round(chosen.stability, 4)} if chosen else {})},
            details={**details, "segments": _described(raw, labels, called, drivers, names)},
        )
        parts = {"model": _taught(ledger, model, features)}
        return self._fitted(parts, told, {"names": called})

    def _grid(self, features: pa.Table, report: Report) -> Fitted:
        cuts = rfm.learn(features)
        counted = pc.value_counts(pa.array(rfm.segments(features, cuts))).to_pylist()
        sizes = [{"segment": c["values"], "rows": c["counts"]} for c in counted]
        said = replace(
            report,
            why="The grid of recency, frequency and money: it always answers, whether or not the groups stand apart.",
            metrics={"segments": float(len(sizes))},
            details={"segments": sizes},
        )
        return self._fitted({}, said, {"cuts": cuts})

    def features(self, ledger: Any, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id` and the numbers that are compared, as of a moment or of the table."""
        if self.table is not None:
            return _from_table(self.table, self.id, self.columns)
        known = {f.name: f for f in feature_set(ledger)}
        wanted = self.columns or (rfm.NEEDED if self.method == "rfm" else BEHAVIOUR)
        chosen = [known[name] for name in wanted if name in known]
        if not chosen:
            return pa.table({"subject_id": pa.array([], pa.string())})
        return build(ledger, chosen, as_of=as_of)

    def _fitted(self, parts: Mapping[str, Any], report: Report, extra: Mapping[str, Any]) -> Fitted:
        return Fitted(
            model_id=model_id(self.name, parts, f"{report.as_of}{sorted(extra.items())}"), recipe=self.name,
            settings=settings_of(self), as_of=report.as_of, parts=parts, report=report, extra=extra,
        )  # fmt: skip


# --- do segments differ in what comes after? --------------------------------------------------------------------------


def _judged(recipe: Segments, ledger: Any, fitted: Fitted, as_of: datetime) -> Report:  # noqa: ANN401
    """Give the report with what those segmented earlier spent afterwards, beside past revenue alone."""
    cut = as_of - timedelta(days=recipe.horizon_days)
    features = recipe.features(ledger, cut)
    kind = next((k for k in ("order", "order_line") if k in analysis.kinds_present(ledger)), None)
    if kind is None or features.num_rows < FEWEST_ROWS:
        return fitted.report
    lines = analysis.table(ledger, kind, columns=("subject_id", "ts", "revenue"), before=as_of)
    later = lines.filter(pc.greater_equal(lines["ts"], pa.scalar(cut, lines["ts"].type)))
    if not later.num_rows:
        return fitted.report
    spent = _spent(features["subject_id"], later)
    labels = _labels_at(recipe, fitted, features)
    ours = difference(labels, spent, seed=recipe.seed)
    before = features["revenue_365d"] if "revenue_365d" in features.column_names else None
    theirs = None if before is None else difference(_parts(before, int(labels.max()) + 1), spent, seed=recipe.seed)
    return _with_money(fitted.report, ours, theirs, recipe.horizon_days)


def _labels_at(recipe: Segments, fitted: Fitted, features: pa.Table) -> Labels:
    """Give segments learnt anew at an earlier moment, from what was known then."""
    if recipe.method == "rfm":
        names = rfm.segments(features, rfm.learn(features))
        places: Labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
        return places
    model = kmeans.KMeans(k=len(fitted.extra["names"]), seed=recipe.seed).fit(features)
    said: Labels = model.predict(features)["prediction"].to_numpy().astype(np.int64)
    return said


def _spent(subject_ids: pa.ChunkedArray, later: pa.Table) -> Vector:
    place = pc.index_in(later["subject_id"].cast(pa.string()), subject_ids.cast(pa.string()).combine_chunks())
    known = pc.is_valid(place).to_numpy(zero_copy_only=False)
    money = pc.fill_null(later["revenue"].cast(pa.float64()), 0.0).to_numpy()
    at = pc.fill_null(place, 0).to_numpy(zero_copy_only=False)
    return np.bincount(at[known], weights=money[known], minlength=len(subject_ids)).astype(np.float64)


def _parts(before: pa.ChunkedArray, count: int) -> Labels:
    """Give equally many parts by past revenue alone, for comparison."""
    money = np.nan_to_num(before.to_numpy())
    cuts = np.unique(np.quantile(money, np.linspace(0, 1, count + 1)[1:-1]))
    parts: Labels = np.searchsorted(cuts, money, side="right").astype(np.int64)
    return parts


def _with_money(report: Report, ours: Difference, theirs: Difference | None, days: int) -> Report:
    surely = "differ" if ours.p_value < 0.05 else "do not surely differ"
    said = f"Segments learnt {days} days earlier {surely} in what was spent after that (p {ours.p_value:.3f})."
    baselines = {} if theirs is None else {"as many parts by past revenue": theirs.figures()}
    return replace(
        report, why=f"{report.why} {said}", metrics={**report.metrics, **ours.figures()}, baselines=baselines
    )


# --- what is said -----------------------------------------------------------------------------------------------------


def _from_table(table: str | pa.Table, id_column: str | None, wanted: tuple[str, ...]) -> pa.Table:
    """Give the columns of amounts of a flat table as numbers, with `subject_id`."""
    raw = flat_table.read(table)
    ids = pa.array(flat_table.subject_ids(raw, id_column), pa.string())
    found = {}
    for name in wanted or [n for n in raw.column_names if n != id_column]:
        values = numbers(plain(raw[flat_table.named(raw, name, "columns")]))
        if values is None or (not wanted and len(np.unique(values[np.isfinite(values)])) < _AMOUNT_LEVELS):
            continue
        found[name] = pa.array(values, from_pandas=True)
    return pa.table({"subject_id": ids, **{n: v for n, v in found.items() if n != "subject_id"}})


def _taught(ledger: Any, model: kmeans.KMeans, features: pa.Table) -> kmeans.KMeans:  # noqa: ANN401
    return training_subjects(ledger, model, features["subject_id"].to_pylist())


def _described(
    raw: kmeans.Matrix, labels: Labels, called: list[str], drivers: list[list[segment_names.Driver]], names: list[str]
) -> list[dict[str, Any]]:  # fmt: skip
    """Give name, size, what sets it apart, and the middle value of every column, per segment."""
    return [
        {
            "segment": called[i],
            "rows": int((labels == i).sum()),
            "share": round(float((labels == i).mean()), 4),
            "drivers": [
                {
                    "column": d.column,
                    "deviations": round(d.deviations, 2),
                    "low": round(d.deviations - d.within, 2),
                    "high": round(d.deviations + d.within, 2),
                }
                for d in drivers[i][:5]
            ],
            "medians": {n: _median(raw[labels == i, j]) for j, n in enumerate(names)},
        }
        for i in range(len(called))
    ]


def _median(values: kmeans.Matrix) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 4) if len(known) else None


def _told(outcome: stability.Tried) -> dict[str, Any]:
    return {"segments": outcome.k, "stability": round(outcome.stability, 4), "apart": outcome.apart}


def _chosen(k: int, outcome: stability.Tried | None) -> str:
    if outcome is None or not outcome.stands:
        how = "" if outcome is None else f" (stability {outcome.stability:.2f})"
        return f"Cut into {k} as asked{how}: these are parts of one cloud, not groups that stand apart."
    return f"{k} segments come out again when customers are drawn anew (stability {outcome.stability:.2f}), and there is a valley between each and its neighbour."  # noqa: E501 (a sentence)


def _none(found: tuple[stability.Tried, ...]) -> str:
    best = max(found, key=lambda t: t.stability, default=None)
    seen = "" if best is None else f" The best was {best.k}, with a stability of {best.stability:.2f} and "
    gap = "" if best is None else ("valleys between them." if best.apart else "no valley between them.")
    return (
        f"No stable segments: no number of groups comes out again (stability {stability.STABLE} and more) with valleys "
        f"between.{seen}{gap} Customers differ by degrees. To cut them anyway set k, or use method=rfm."
    )


def _missing(features: pa.Table) -> str:
    if features.num_columns < 2:
        return "There is nothing to group by. Load orders, or give a table with columns of amounts."
    if features.num_rows >= FEWEST_ROWS:
        return (
            f"{features.num_columns - 1:,} columns are too many to compare customers by: in so many everybody is about"
            " as far from everybody. Name those that count: columns (on the command line: --set columns=a,b,c)."
        )
    return f"Only {features.num_rows} rows; at least {FEWEST_ROWS} are needed to find groups. Load more customers."
