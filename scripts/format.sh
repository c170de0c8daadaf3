#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Formats all tracked C and C++ files; with --check only says which are not formatted.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=(-i)
if [[ ${1-} == --check ]]; then
  mode=(--dry-run -Werror)
fi
git ls-files -z -- '*.c' '*.cpp' '*.h' |
  xargs -0 -P "$(nproc)" -n 32 clang-format-22 "${mode[@]}" --style=file
