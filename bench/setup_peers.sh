#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs the systems that gatecc is compared with into the virtual environment
# build/peers: ONNX Runtime, OpenVINO, PyTorch and ggml. One that cannot be installed is
# left out, and bench/run.sh leaves it out too. ggml is compiled for this machine, by cmake;
# its source is that which llama-cpp-python ships.
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

build_ggml() {
  local folder=$environment/ggml log=$environment/ggml/build.log
  mkdir -p "$folder/source" &&
    nice -n 10 timeout 900 "$environment/bin/pip" download --quiet --no-deps \
      --disable-pip-version-check --no-binary llama-cpp-python \
      --dest "$folder" llama-cpp-python==0.3.36 &&
    tar -xzf "$folder/llama_cpp_python-0.3.36.tar.gz" -C "$folder/source" \
      --strip-components=3 --wildcards "*/vendor/llama.cpp/ggml" || return 1
  # By itself ggml would want its tests, which are not there.
  cat >"$folder/source/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.14)
project(peer C CXX)
add_subdirectory(ggml)
EOF
  # GGML_LLAMAFILE has the products of f32, as in llama.cpp.
  if cmake -S "$folder/source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON -DGGML_OPENMP=ON -DGGML_LLAMAFILE=ON \
    -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_PREFIX="$PWD/$environment" \
    -DCMAKE_INSTALL_RPATH="\$ORIGIN" >"$log" 2>&1 &&
    nice -n 10 timeout 1800 cmake --build "$folder/build" -j2 >>"$log" 2>&1 &&
    cmake --install "$folder/build" >>"$log" 2>&1
  then
    return 0
  fi
  echo "setup_peers: ggml: see $log" >&2
  return 1
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
build_ggml || failed+=(ggml)
for name in "${failed[@]}"; do
  echo "setup_peers: $name could not be installed" >&2
done
echo "setup_peers: done; bench/run.sh finds $environment by itself"
