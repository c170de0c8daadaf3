#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs the systems that gatecc is compared with into the virtual environment
# build/peers: ONNX Runtime, OpenVINO and PyTorch. One that cannot be installed is left
# out, and bench/run.sh leaves it out too.
# TORCH_INDEX_URL names a package index that has PyTorch without CUDA; without it PyTorch
# is installed without most of its CUDA packages and needs the CUDA 13 toolkit to load.
set -uo pipefail
cd "$(dirname "$0")/.."

environment=build/peers
[[ -x $environment/bin/python ]] || python3 -m venv "$environment" || exit 1

install() {
  nice -n 10 timeout 1800 "$environment/bin/pip" install --quiet \
    --disable-pip-version-check "$@"
}

# What the harness itself needs.
install numpy onnx ml_dtypes psutil || exit 1

failed=()
install onnxruntime || failed+=("ONNX Runtime")
install openvino || failed+=(OpenVINO)
if [[ -n ${TORCH_INDEX_URL-} ]]; then
  install --index-url "$TORCH_INDEX_URL" torch || failed+=(PyTorch)
else
  { install --no-deps torch==2.13.0 &&
    install filelock typing-extensions sympy networkx jinja2 fsspec &&
    install --no-deps nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-cufile \
      "nvidia-nvshmem-cu13==3.4.5"; } || failed+=(PyTorch)
fi
for name in "${failed[@]}"; do
  echo "setup_peers: $name could not be installed" >&2
done
echo "setup_peers: done; bench/run.sh finds $environment by itself"
