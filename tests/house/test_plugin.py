"""A stranger's package is found through its entry points, and keeps the contracts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json
from nextbest import registry, testing

known = {group: registry.names(group) for group in registry.BUILT_IN}
testing.check_model(registry.make("models", "stranger_mean"))
testing.check_policy(registry.make("policies", "stranger_even", {"favour": 3.0}))
testing.check_measure(registry.make("measures", "stranger_difference"))
testing.check_channel(registry.make("channels", "stranger_memory"))
try:
    registry.make("policies", "stranger_even", {"favor": 3.0})
except Exception as error:
    refused = str(error)
print(json.dumps({"known": known, "refused": refused}))
"""


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which the stranger's package is installed, built by its own build backend, offline."""
    source = tmp_path_factory.mktemp("source") / "stranger"
    shutil.copytree(repository / "tests/fixtures/stranger", source)
    target = tmp_path_factory.mktemp("installed")
    scripts = Path(sys.executable).parent
    uv = shutil.which("uv", path=f"{scripts}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.fail("uv is not installed; `make install` brings it.")
    command = [uv, "pip", "install", "--offline", "--no-deps", "--no-build-isolation", "--no-config", "--quiet"]
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"  # where the build backend's program is
    environment = {**os.environ, "PATH": path, "UV_CACHE_DIR": str(target.with_name("cache"))}
    done = subprocess.run(
        [*command, "--python", sys.executable, "--target", str(target), str(source)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_a_strangers_makers_are_found_and_pass(installed: Path) -> None:
    """A policy, model, measure and channel from another package are found by name and pass their suites."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "stranger_even" in told["known"]["policies"]
    assert "greedy" in told["known"]["policies"]
    assert "Did you mean 'favour'?" in told["refused"]


def test_without_the_package_the_names_are_not_there() -> None:
    """The stranger's names exist only where the package is installed."""
    from nextbest import registry

    assert all("stranger" not in name for group in registry.BUILT_IN for name in registry.names(group))
