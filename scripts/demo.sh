#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The README's first command: installs what is needed, builds gatecc, compiles the two
# networks of models/ and runs them on handwritten digits beside ONNX Runtime.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
scripts/build.sh
echo "demo: compiling and running the two networks"
GATECC=$PWD/build/bin/gatecc exec .venv/bin/python scripts/demo.py "$@"
