"""The command line over the verbs: one command per verb, the same parameter names."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit status 0 done, 1 failed or drifted, 2 usage."""
    from nextbest.cli.app import run

    sys.exit(run(sys.argv[1:]))
