"""Which candidate was removed by which rule: the first rule that says no is the one on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

Flags = np.ndarray[Any, np.dtype[np.bool_]]


class Removals:
    """One small number per (subject, action): 0 is eligible, else the position of a rule in `rules`."""

    def __init__(self, subjects: int, actions: int) -> None:
        self.codes: np.ndarray[Any, np.dtype[np.int16]] = np.zeros((subjects, actions), dtype=np.int16)
        self.rules: list[str] = [""]

    @property
    def eligible(self) -> Flags:
        """Where nothing has said no yet."""
        return np.asarray(self.codes == 0)

    def remove(self, action: int, where: Flags | bool, rule: str) -> None:  # noqa: FBT001 (a mask, or everywhere)
        """Remove an action for the subjects marked in `where`, unless an earlier rule did."""
        column = self.codes[:, action]
        column[(column == 0) & where] = self._code(rule)

    def remove_named(self, action: int, rules: Sequence[str | None]) -> None:
        """Remove an action by one rule per subject; None leaves it."""
        coded = pa.array(rules, pa.string()).dictionary_encode()
        index = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        for i, rule in enumerate(coded.dictionary.to_pylist()):
            self.remove(action, index == i, rule)

    def counts(self) -> dict[str, int]:
        """Give how many candidates each rule removed, most first."""
        found = np.bincount(self.codes.ravel(), minlength=len(self.rules))
        pairs = [(rule, int(n)) for rule, n in zip(self.rules[1:], found[1:], strict=True) if n]
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def part(self, rows: slice) -> Removals:
        """Give a view of some subjects."""
        some = Removals(0, 0)
        some.codes, some.rules = self.codes[rows], self.rules
        return some

    def names(self, rows: np.ndarray[Any, Any]) -> pa.Array:
        """Give codes as the names of their rules, null where nothing was removed."""
        names = pa.array([None, *self.rules[1:]], pa.string())
        return names.take(pa.array(rows.ravel()))

    def _code(self, rule: str) -> int:
        if rule not in self.rules:
            self.rules.append(rule)
        return self.rules.index(rule)
