#!/usr/bin/env bash
# Installs the Debian packages that tests need, where it may (root, or sudo that asks nothing), and says what it could not;
# exits 1 while something is missing.
set -euo pipefail

# command:package, each with the tests that want it
wanted=(
  git:git               # the Git component and the demo's feature repository
)

missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "Not installed, for want of root: ${missing[*]}. Tests that need them will fail. As root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
if ! command -v apt-get >/dev/null; then
  echo "Not installed, for want of apt-get: ${missing[*]}. Tests that need them will fail." >&2
  exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update --quiet --quiet || echo "apt-get update failed: trying with the package lists that are here." >&2
if ! "${as_root[@]}" apt-get install --quiet --yes --no-install-recommends "${missing[@]}"; then
  echo "Not installed, apt-get failed: ${missing[*]}. Tests that need them will fail." >&2
  exit 1
fi
