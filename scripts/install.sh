#!/usr/bin/env bash
# Make .venv with the package (editable), the demo data and the test tools. Everything is checked against its hash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/system-packages.sh

new_enough() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ ! -x .venv/bin/python ]; then
  python=""
  for name in "${PYTHON:-python3.11}" python3 python3.13 python3.12 python; do
    if new_enough "$name"; then python="$name"; break; fi
  done
  if [ -z "$python" ]; then
    echo "nextbest needs Python 3.11 or later, and none is on the PATH. Install one, or set PYTHON=/path/to/python." >&2
    exit 1
  fi
  echo "Making .venv with $("$python" --version)" >&2
  "$python" -m venv .venv
fi

.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
pip_install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
wanted="$(grep -oE '^uv==[^ ]+' requirements/uv.txt | cut -d= -f3)"
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$wanted" ]; then
  "${pip_install[@]}" --require-hashes --no-deps -r requirements/uv.txt
fi

# pip reads the machine's own settings (mirrors, certificates), which uv does not: it is slower, and the way out.
if ! .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements/dev.txt; then
  echo "uv could not install; trying with pip." >&2
  "${pip_install[@]}" --require-hashes --no-deps -r requirements/dev.txt
fi
PATH="$PWD/.venv/bin:$PATH" "${pip_install[@]}" --no-deps --no-build-isolation --editable . # the build backend is hashed too
