"""A column that may know the outcome and is learnt from is named among the cautions."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from nextbest.recipes.churn import Churn

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def _table() -> pa.Table:
    chance = np.random.default_rng(0)
    left = chance.random(1_000) < 0.3
    return pa.table(
        {
            "visits": chance.poisson(5 - 2 * left),
            "score": chance.normal(size=1_000) + 2 * left,
            "gone": np.where(left, "yes", "no"),
        }
    )


def test_a_suspect_is_a_caution_unless_somebody_keeps_it() -> None:
    """A strong column with a telling name is learnt from and named; one that is asked for by `keep` is not."""
    said = Churn(table=_table(), label="gone").fit(None, as_of=AS_OF).report
    assert not said.left_out
    assert any(c.startswith("'score' is learnt from, but may be known only") for c in said.details["cautions"])
    kept = Churn(table=_table(), label="gone", keep=("score",)).fit(None, as_of=AS_OF).report
    assert not any("'score'" in c for c in kept.details["cautions"])


def test_the_words_of_the_label_make_a_column_suspicious() -> None:
    """A column called after the label, which also tells it, is left out: its name speaks of the outcome."""
    renamed = _table().rename_columns(["visits", "defaulted_score", "defaulted"])
    report = Churn(table=renamed, label="defaulted").fit(None, as_of=AS_OF).report
    assert [x["column"] for x in report.left_out] == ["defaulted_score"]
