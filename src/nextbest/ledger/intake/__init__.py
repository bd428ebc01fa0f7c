"""Files into the ledger, fast and without losing a record: `import_text`, `import_table`."""

from nextbest.ledger.intake.load import import_table, import_text
from nextbest.ledger.parsing import guess_date_order

__all__ = ["guess_date_order", "import_table", "import_text"]
