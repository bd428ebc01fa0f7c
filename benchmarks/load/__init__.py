"""How fast a file comes into the ledger, beside the bare database."""
