"""Load a model for the first time in a child process with limits, and compare what it says with its canaries.

    python -m nextbest.models.sandbox FOLDER SHA256_OF_MANIFEST

The parent has verified the signature; the child gets the hash of the manifest it may trust and nothing secret. It ends
with status 0 when every file has its hash, every part can be rebuilt, and every canary comes out as it went in.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextbest import registry
from nextbest.errors import ModelError, NextbestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.types import Model

MANIFEST = "manifest.signed"
_SECONDS = 60
_MEMORY = 8 * 1024**3  # of address space, most of it never touched
_LARGEST = 2 * 1024**3
_LIBRARIES = ("nextbest", "lightgbm", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Give the versions of what computes a prediction."""
    return {name: version(name) for name in _LIBRARIES}


def check(folder: Path, sha256: str) -> None:
    """Start the child and wait for it; raises `ModelError` with what it said when it fails, dies or takes too long."""
    command = [sys.executable, "-m", "nextbest.models.sandbox", str(folder), sha256]
    try:
        done = subprocess.run(  # noqa: S603 (our own module, a folder and a hash)
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"Model {folder.name} took over {_SECONDS} s to load, so it is refused. Fit it again."
        ) from error
    if done.returncode:
        raise ModelError(f"Model {folder.name} was refused when it was first loaded: {_last_words(done)}")


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the process that tried it died (signal {-done.returncode}). Fit it again."
    return (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}."])[-1]


def read(path: Path, largest: int) -> bytes:
    """Give the bytes of a file of a model; raises `ModelError` when it is missing or absurdly large."""
    try:
        if path.stat().st_size > largest:
            raise ModelError(f"{path.name} of model {path.parent.name} is too large to be real. Fit the model again.")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} of a model cannot be read: {error.strerror}. Fit the model again.") from error


def part_files(folder: Path, said: Mapping[str, Any]) -> dict[str, dict[str, bytes]]:
    """Give the files of every part, each with the hash that the manifest names; raises `ModelError` otherwise."""
    found: dict[str, dict[str, bytes]] = {name: {} for name in said["parts"]}
    for name, sha256 in said["files"].items():
        data = read(folder / name, _LARGEST)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ModelError(f"{name} of model {folder.name} is not the file that was signed. Fit the model again.")
        part, _, file = name.partition("/")
        if file:
            found[part][file] = data
    return found


def parts(said: Mapping[str, Any], files: Mapping[str, Mapping[str, bytes]]) -> dict[str, Model]:
    """Give the fitted parts, rebuilt by name, settings and files."""
    return {
        name: replace(registry.make("models", part["class"], part["settings"]), files=files[name])
        for name, part in said["parts"].items()
    }


def main(arguments: Sequence[str]) -> int:
    """Do the child's work; gives the exit status."""
    folder, sha256 = Path(arguments[0]), arguments[1]
    _limit()
    try:
        _try(folder, sha256)
    except NextbestError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _try(folder: Path, sha256: str) -> None:
    from nextbest.models import canaries

    data = read(folder / MANIFEST, _LARGEST)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError("The manifest changed while it was being checked. Try again.")
    said = json.loads(data.partition(b"\n")[2])
    rebuilt = parts(said, part_files(folder, said))
    for name, canary in said["canaries"].items():
        canaries.compare(rebuilt[name], canary, name)


def _limit() -> None:
    """Bound memory and time, where the system can."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's clock still runs
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
