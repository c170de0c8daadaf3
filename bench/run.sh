#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs the benchmark: bench/run.sh [--quick] [--cells edge,olmoe] [--T 1,128] ...
# bench/run.sh --help lists the options, bench/README.md describes them.
set -euo pipefail
cd "$(dirname "$0")/.."

export GATECC=${GATECC-$PWD/build/bin/gatecc}
export PYTHONPATH=$PWD/python${PYTHONPATH+:$PYTHONPATH}
for python in build/peers/bin/python .venv/bin/python python3; do
  if command -v "$python" >/dev/null && "$python" -c "import numpy, onnx, psutil" 2>/dev/null
  then
    exec "$python" -m bench "$@"
  fi
done
echo "bench: no Python with numpy, onnx and psutil; run bench/setup_peers.sh" >&2
exit 1
