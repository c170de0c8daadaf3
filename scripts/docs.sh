#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Writes the references of docs/generated/ from the TableGen files: ops, types and
# passes; with --check only says which of them are stale.
set -euo pipefail
cd "$(dirname "$0")/.."

tblgen=/usr/lib/llvm-22/bin/mlir-tblgen
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# generate FILE GENERATOR TD...: of all the .td files together, in this order.
generate() {
  local file=$1 generator=$2
  shift 2
  printf 'include "%s"\n' "$@" |
    "$tblgen" $generator -I . -I /usr/lib/llvm-22/include - |
    sed '/^\[TOC\]$/d' >"$made/$file"
}
generate gate.md "-gen-dialect-doc -dialect=gate" dialects/Gate/IR/GateDecisions.td \
  dialects/Gate/IR/GateWork.td dialects/Gate/IR/GateContract.td \
  dialects/Gate/IR/GateWeights.td dialects/Gate/IR/GateIndexing.td \
  dialects/Gate/IR/GateSchedule.td
generate onnx.md "-gen-dialect-doc -dialect=onnx" dialects/Onnx/IR/OnnxOps.td
for group in Import Raise Transforms Lowering; do
  generate "passes-${group,,}.md" -gen-pass-doc "include/gatecc/$group/Passes.td"
done

if [[ ${1-} == --check ]]; then
  diff -ru docs/generated "$made" || {
    echo "docs: docs/generated is stale; run scripts/docs.sh"
    exit 1
  }
  echo "docs: docs/generated is up to date"
else
  mkdir -p docs/generated
  rm -f docs/generated/*.md
  cp "$made"/*.md docs/generated/
  echo "docs: wrote $(ls docs/generated | tr '\n' ' ')"
fi
