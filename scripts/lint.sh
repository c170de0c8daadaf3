#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Checks format and lint; with --tidy also runs clang-tidy (minutes), on the C++ files
# that are named after it, or on all.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
scripts/format.sh --check || status=1
python3 scripts/lint.py || status=1
if [[ ${1-} == --tidy ]]; then
  shift
  files=("$@")
  if ((${#files[@]} == 0)); then
    mapfile -t files < <(git ls-files -- 'dialects/*.cpp' 'lib/*.cpp')
  fi
  # Of the build without the precompiled header, which clang-tidy cannot read.
  cmake --preset nopch >/dev/null && ninja -C build-nopch -t targets all |
    sed -n 's/^\(.*\.h\.inc\): .*/\1/p' | sort -u | xargs ninja -C build-nopch >/dev/null &&
    printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 \
      clang-tidy-22 -p build-nopch --quiet --warnings-as-errors='*' || status=1
fi
if ((status)); then
  echo "lint: FAILED"
else
  echo "lint: OK"
fi
exit "$status"
