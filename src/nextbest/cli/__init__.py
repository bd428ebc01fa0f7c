"""The command line over the verbs: one command per verb, the same parameter names."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; exit status 0 done, 1 failed or drifted, 2 usage."""
    from nextbest.cli.app import run

    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
