"""The page of results is made by a command, not typed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_results_are_what_the_benchmarks_wrote(repository: Path) -> None:
    """Assembling the page again gives the page that is there."""
    program = "import report; print(report.page(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repository / "benchmarks", capture_output=True, text=True, check=True
    )
    assert done.stdout == (repository / "docs" / "results.md").read_text(encoding="utf-8")
