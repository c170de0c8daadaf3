#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The README's second command: installs what is needed, builds gatecc and runs every
# test. All suites run even if one fails; the last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

started=$SECONDS
results=build/test-results
scripts/setup.sh && scripts/build.sh || {
  echo "test: the build failed"
  echo "0 passed, 1 failed"
  exit 1
}
rm -rf "$results"
mkdir -p "$results"

export PATH=$PWD/.venv/bin:$PATH
export GATECC=$PWD/build/bin/gatecc
export PYTHONDONTWRITEBYTECODE=1
jobs=$(nproc)

# suite NAME LIMIT COMMAND...: the command writes its results to $results/NAME*.xml.
# What is counted is read from there, so that a suite that dies is seen to have failed.
suites=()
suite() {
  local name=$1 limit=$2 begin=$SECONDS
  shift 2
  suites+=("$name")
  echo
  echo "test: $name: $*"
  timeout --kill-after=10 "$limit" "$@"
  echo "$?" >"$results/$name.status"
  echo "test: $name took $((SECONDS - begin)) s"
}

suite checks 900 python3 scripts/check.py --junit "$results/checks.xml"
suite lit 900 python /usr/lib/llvm-22/bin/lit -s -v -j "$jobs" --timeout 120 \
  --xunit-xml-output "$results/lit.xml" build/test
suite unit 600 ctest --test-dir build --output-on-failure -j "$jobs" \
  --timeout 300 --output-junit "$PWD/$results/unit.xml"
# A worker takes whole files: what a file's tests share is made once.
suite python 1200 python -m pytest -q -p no:cacheprovider --timeout 300 \
  -n "$jobs" --dist loadfile --junitxml "$results/python.xml" python

echo
echo "test: all suites took $((SECONDS - started)) s with setup and build"
exec python3 scripts/count_tests.py "$results" "${suites[@]}"
