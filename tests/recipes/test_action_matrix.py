"""A live request's matrix without a table: the same bytes as the encoder gives for the rows of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import ModelError
from nextbest.ledger.learning import Seen
from nextbest.models import encode, encode_read
from nextbest.models.boosting import TREES, Boosting, fitted_state
from nextbest.models.scorecard import Scorecard
from nextbest.policies.learners.layout import as_features
from nextbest.policies.live.ask import Offers
from nextbest.recipes import action_live, action_rows
from nextbest.recipes.action_matrix import Filler
from nextbest.recipes.action_rows import as_table, row_of

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS = 4_000
IDS = {
    "names": ("banner", "coupon", "item one", "item two", "none", " coupon ", "n/a"),
    "numbers": ("1001", "1002", "1003", "none", "1,004", "1,5", "7"),
    "dates": ("2026-01-01", "2026-02-03", "2026-03-04", "none"),
}
NAMES = (
    "price", "rating", "colour=red", "colour=blue", "colour= red ", "colour=?", "size", "size=XL", "size=2.0",
    "day=2026-01-03", "day=03.01.2026", "day=2026-02-05", "cost=1,5", "cost=1,234", "cost=12", "and device",
    "and device=phone", "code=a1", "code", "unheard", "unheard=of", "flag", "=odd", "made=a=b", "made=a=c",
)  # fmt: skip


def _known(draw: np.random.Generator, *, wild: bool) -> dict[str, Any]:
    """Give what is known of somebody; wild: also what no row of the log held."""
    more: tuple[Any, ...] = ("", "None", float("nan"), float("inf"), -0.0, None, [1], 10**12) if wild else ()
    number, day = round(float(draw.normal()) * 50, 2), f"2026-0{draw.integers(1, 9)}-1{draw.integers(0, 9)}"
    values: dict[str, tuple[Any, ...]] = {
        "age": (number, int(number)),
        "device": ("phone", "desktop", " phone ", "tablet"),
        "member": (True, False),
        "since": (day, day, day, "03.04.2026") if wild else (day,),
        "actions_30d": (float(draw.integers(0, 9)),),
        "zip": ("01234", "98765", 98765, 98765.0) if wild else ("01234", "98765", "55555"),
        "spent": (f"{abs(number)}", "1.234,50", "1,234") if wild else (f"{abs(number)}",),
        "town": (f"town {draw.integers(0, 320 if wild else 290)}",),
        "prices": (3.0,),
        "bot": (False,),
        "action price": (7.0, "seven"),
        "action": ("banner",),
        "action and device": ("banner phone", 3.0),
        **({"fresh": ("new", 1.0)} if wild else {}),
    }
    here = [n for n in values if draw.random() > 0.2]
    return {
        n: (pool := (*values[n], *more) if draw.random() < 0.3 else values[n])[draw.integers(len(pool))] for n in here
    }


def _offers(draw: np.random.Generator, ids: tuple[str, ...], *, wild: bool) -> Offers:
    """Give offers of some names in some order, with gaps, marks that contradict each other, zeros of either sign."""
    many = int(draw.integers(1, 40 if wild else 3))
    names = tuple(draw.permutation(NAMES)[: draw.integers(0, len(NAMES) + 1)].tolist())
    values = np.round(draw.normal(size=(many, len(names))) * 3, 1)
    marks = np.array(["=" in n for n in names], dtype=bool)
    values[:, marks] = draw.random((many, int(marks.sum()))) < 0.4
    values[draw.random(values.shape) < 0.2] = np.nan
    if wild:
        values[draw.random(values.shape) < 0.05] = -0.0
        values[draw.random(values.shape) < 0.02] = np.inf
    pool = (*ids, "unseen", "") if wild else ids
    return Offers(ids=tuple(pool[i] for i in draw.integers(0, len(pool), many)), names=names, values=values)


def _rows(known: Mapping[str, Any], offers: Offers) -> list[dict[str, Any]]:
    """Give a request as rows of the log: what a decision is learnt from."""
    told = [
        as_features({n: v for n, v in zip(offers.names, values, strict=True) if v == v})  # noqa: PLR0124 (missing)
        for values in offers.values.tolist()
    ]
    return [row_of(known, name, about) for name, about in zip(offers.ids, told, strict=True)]


def _slowly(columns: tuple[str, ...], known: Mapping[str, Any], offers: Offers) -> pa.Table:
    """Give a request as the table that a model reads."""
    return as_table([{n: row.get(n) for n in columns} for row in _rows(known, offers)])


def _log(ids: tuple[str, ...], *, rows: int = ROWS) -> tuple[pa.Table, np.ndarray]:
    """Give rows to learn from, and what came of them."""
    draw = np.random.default_rng(1)
    shown = [_rows(_known(draw, wild=False), _offers(draw, ids, wild=False))[0] for _ in range(rows)]
    chance = np.array([0.2 + 0.3 * (row.get("device") == "phone") for row in shown])
    return as_table(shown), (draw.random(rows) < chance).astype(float)


@pytest.mark.parametrize("kind", sorted(IDS))
def test_a_request_fills_the_matrix_as_its_table_would(kind: str) -> None:
    """On random requests of every kind of value the matrix has the same bytes as the encoder's of a table."""
    table, actual = _log(IDS[kind])
    encoder, _ = encode.learn_from(encode_read.read(table), salt=encode.salt_of(table, 0), actual=actual)
    forms = {c.name: (c.form, c.width) for c in encoder.columns}
    expected = {
        "age": ("number", 1), "device": ("category", 1), "since": ("date", 3), "town": ("category", 2),
        "spent": ("number", 1), "action price": ("number", 1), "action colour": ("category", 1),
        "action size": ("category", 1), "action and device": ("category", 1), "actions_30d": ("number", 1),
    }  # fmt: skip
    assert expected.items() <= forms.items()
    assert forms["action"][0] == {"names": "category", "numbers": "number", "dates": "date"}[kind]
    filler, columns, draw = Filler(encoder), tuple(forms), np.random.default_rng(2)
    for _ in range(250):
        known, offers = _known(draw, wild=True), _offers(draw, IDS[kind], wild=True)
        wanted = encode.matrix(encoder, _slowly(columns, known, offers))
        assert filler.matrix(known, offers).tobytes() == wanted.tobytes(), (known, offers)


def test_a_second_request_is_filled_from_what_was_kept() -> None:
    """The same request again gives the same bytes, also when what is kept was let go in between."""
    table, actual = _log(IDS["names"], rows=600)
    encoder, _ = encode.learn_from(encode_read.read(table), salt=encode.salt_of(table, 0), actual=actual)
    filler, draw = Filler(encoder), np.random.default_rng(3)
    known, offers = _known(draw, wild=True), _offers(draw, IDS["names"], wild=True)
    first = filler.matrix(known, offers).tobytes()
    for i in range(600):
        filler.matrix(known, Offers(ids=(f"i{i}",), names=(f"n{i}",), values=np.ones((1, 1))))
    assert filler.matrix(known, offers).tobytes() == first


@pytest.fixture(scope="module")
def model() -> Boosting:
    """Give a model of the log, of enough rows that its trees cut a text into sets."""
    table, actual = _log(IDS["names"])
    return Boosting(num_threads=1, tuned={"folds": 2, "rounds": 60}).fit(table, pa.table({"label": actual}))


@pytest.mark.parametrize("often", [True, False])
def test_a_response_is_the_models_prediction(model: Boosting, *, often: bool) -> None:
    """The state's chances of random requests are those of `predict` on the request's table, to the last bit."""
    state, draw = action_live.state_of(model, version="v", spread=0.02, often=often), np.random.default_rng(4)
    assert len(fitted_state(model)[1].columns) > 8
    assert b"cat_threshold=" in model.files[TREES]
    for _ in range(40):
        known, offers = _known(draw, wild=True), _offers(draw, IDS["names"], wild=True)
        mean, spread = state.response(known, offers)
        wanted = model.predict(_slowly(model.columns, known, offers))["prediction"].to_numpy()
        assert mean.tobytes() == wanted.tobytes()
        assert (spread == 0.02).all()


def test_a_model_of_another_kind_is_refused() -> None:
    """A play asks a model that it can fill a matrix for; another is named, with what to fit."""
    with pytest.raises(ModelError, match=r"action_value\. Got Scorecard"):
        action_live.state_of(Scorecard(), version="v", spread=0.0)


def test_what_is_known_of_a_subject_is_not_taken_for_the_actions_own() -> None:
    """`actions_30d` is the subject's; a context that says `action` or `action price` says nothing of the action."""
    row = row_of({"actions_30d": 3.0, "action": "x", "action price": 1.0}, "banner", {"price": 2.0})
    assert row == {"actions_30d": 3.0, "action": "banner", "action price": 2.0}


def test_the_mark_of_a_text_is_learnt_as_the_text() -> None:
    """What the log keeps of an item as `colour=red` is the text red, as in a request; an unset mark says nothing."""
    marks = ({"colour=red": 1.0, "colour=blue": 0.0, "price": 2.0}, {"colour=red": 0.0, "colour=blue": 0.0})
    seen = [
        Seen(decision_id="d", subject_id="s", ts=0, action_id=f"item{i}", context={}, features={}, action_features=told)
        for i, told in enumerate(marks)
    ]
    assert action_rows.table(seen).to_pydict() == {
        "action colour": ["red", None], "action price": [2.0, None], "action": ["item0", "item1"],
    }  # fmt: skip
