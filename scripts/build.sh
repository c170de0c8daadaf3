#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Builds gatecc in build/ and installs the Python package, with the compiler inside, in
# .venv. Run scripts/setup.sh before.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "build: configuring and building in build/ (about 5 minutes the first time)"
log=build/configure.log
mkdir -p build
# A cache of another compiler or place is of no use: the second try forgets it.
cmake --preset dev >"$log" 2>&1 || cmake --fresh --preset dev >"$log" 2>&1 || {
  cat "$log"
  echo "build: CMake failed" >&2
  exit 1
}
cmake --build --preset dev

# The package is installed again only where it, or the compiler in it, has changed.
stamp=.venv/gatecc-package
if [[ ! -e $stamp || -n $(find build/bin/gatecc python/gatecc python/setup.py python/pyproject.toml \
  -name __pycache__ -prune -o -type f -newer "$stamp" -print -quit) ]]; then
  echo "build: installing the Python package in .venv"
  rm -rf python/build
  .venv/bin/pip install --quiet --disable-pip-version-check --no-build-isolation \
    --no-deps --force-reinstall ./python
  rm -rf python/build
  touch "$stamp"
fi
