"""Opening files: whatever people export becomes columns of text, without ever being read whole into memory.

plain CSV                          read where it is
gzip, zip, UTF-16, cp1252, XLSX    rewritten once as plain UTF-8 text in a scratch folder
JSON Lines, JSON arrays            the same, one line per object, nested values as JSON text
Parquet                            read where it is, batch by batch
"""

from nextbest.channels.files.discover import discover
from nextbest.channels.files.opened import Opened, open_file

__all__ = ["Opened", "discover", "open_file"]
