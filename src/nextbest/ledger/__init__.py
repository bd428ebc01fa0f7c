"""The ledger: all that is known and was done, in one folder."""

from nextbest.ledger.workspace import Ledger, create, open_ledger

__all__ = ["Ledger", "create", "open_ledger"]
