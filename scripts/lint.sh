#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Checks format and lint; with --tidy also runs clang-tidy (a minute or two), on the C++
# files that are named after it, or on all.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
scripts/format.sh --check || status=1
python3 scripts/lint.py || status=1
if [[ ${1-} == --tidy ]]; then
  shift
  python3 scripts/tidy.py "$@" || status=1
fi
if ((status)); then
  echo "lint: FAILED"
else
  echo "lint: OK"
fi
exit "$status"
