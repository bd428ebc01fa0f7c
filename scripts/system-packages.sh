#!/usr/bin/env bash
# Install the few system packages that pip cannot bring, where that is allowed, and say so.
#
#   scripts/system-packages.sh            what running needs:  python3-venv, libgomp1 (LightGBM's threads)
#   scripts/system-packages.sh chromium   what the tests of the dashboard need as well
#
# Without apt, or without root or sudo that asks for no password, it changes nothing and names what is missing.
set -euo pipefail

has_library() { { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null; } | grep -F "$1" >/dev/null; }
has_venv() { [ -x .venv/bin/python ] || ! command -v python3 >/dev/null || python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null; }

[ "$(uname -s)" = Linux ] || exit 0

missing=()
command -v python3 >/dev/null || missing+=(python3)
has_venv || missing+=(python3-venv)
has_library libgomp.so.1 || missing+=(libgomp1)
if [ "${1:-}" = chromium ]; then has_chromium || missing+=(chromium); fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing system packages: ${missing[*]}. There is no apt-get here; install them with your package manager." >&2
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "Missing system packages: ${missing[*]}. Install them with: sudo apt-get install ${missing[*]}" >&2
    exit 0
  fi
  as_root=(sudo -n)
fi

echo "Installing system packages with apt-get: ${missing[*]}" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
