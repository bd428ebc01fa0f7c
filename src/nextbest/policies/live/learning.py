"""What a learner gives to the engine: an immutable state that answers for the candidates of one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.ask import Offers


class State(Protocol):
    """A learnt state: `version` changes with anything that changes its answers."""

    @property
    def version(self) -> str:
        """The state's name in the log."""
        ...

    def response(self, row: Mapping[str, Any], offers: Offers) -> tuple[Numbers, Numbers]:
        """Give mean and standard deviation of the response per offer, `none` among them."""
        ...
