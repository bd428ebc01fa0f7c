"""Serve a workspace in a process of its own; before it stops, say which heavy packages it holds."""

from __future__ import annotations

import sys

from nextbest import operations
from nextbest.serve import run

if __name__ == "__main__":
    folder, port, token = sys.argv[1:4]
    run(operations.open(folder), host="127.0.0.1", port=int(port), token=token)
    print(sorted({name.partition(".")[0] for name in sys.modules} & {"sklearn", "pandas", "shap"}), flush=True)
