"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """Give the root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real data sets, or skip: it is not part of the repository."""
    folder = Path(os.environ.get("NEXTBEST_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"The real data is not at {folder}; set NEXTBEST_SHARED_DATA to run this test.")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Give the path of the system's Chromium; without one, fail in CI and skip elsewhere, saying what to do."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return found
    message = "Chromium is not installed, so the pages are NOT tested. Run: scripts/system-packages.sh chromium"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(message)
    pytest.skip(message)
