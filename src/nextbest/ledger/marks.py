"""Which models learnt from whom: keyed digests of the subjects a model was trained on, beside the model.

`models/<model_id>/subjects.bin` holds the first 8 bytes of the keyed digest of every canonical subject id, sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.ledger.statements import load
from nextbest.ledger.workspace import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nextbest.ledger.workspace import Ledger

SUBJECTS = "subjects.bin"
_PREFIX = np.dtype(">u8")


def subjects_bytes(ledger: Ledger, subject_ids: Iterable[str]) -> bytes:
    """Give the content of `subjects.bin` for the subjects that a model is trained on."""
    prefixes = {bytes.fromhex(digest(ledger, subject_id)[:16]) for subject_id in subject_ids}
    return b"".join(sorted(prefixes))


def trained_on(ledger: Ledger, subject_ids: Iterable[str]) -> tuple[str, ...]:
    """Give the ids of the models that were trained on any of the subjects."""
    wanted = np.frombuffer(subjects_bytes(ledger, subject_ids), _PREFIX).astype(np.uint64)
    found = []
    for file in sorted((ledger.path / "models").glob("*/" + SUBJECTS)):
        held = np.frombuffer(file.read_bytes(), _PREFIX).astype(np.uint64)  # isin fails on foreign byte order
        if np.isin(wanted, held).any():
            found.append(file.parent.name)
    return tuple(found)


def marked(ledger: Ledger) -> dict[str, tuple[str, int]]:
    """Give, by model id, why a model has to be fitted again and since when (microseconds)."""
    with ledger.journal.read() as connection:
        rows = connection.execute(load("marks.sql", "marked")).fetchall()
    return {model_id: (reason, ts) for model_id, reason, ts in rows}
