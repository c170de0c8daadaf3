#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Installs what gatecc is built and tested with on Debian 12: packages (as root, or by
# sudo) and a Python environment in .venv. Does nothing where all of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # The compiler's libraries, and what their CMake files look for.
  llvm-22-dev libmlir-22-dev liblld-22-dev mlir-22-tools llvm-22-tools
  libzstd-dev zlib1g-dev libxml2-dev libffi-dev libedit-dev libcurl4-openssl-dev
  libz3-dev libncurses-dev
  # The build.
  clang-22 lld-22 cmake ninja-build ccache nlohmann-json3-dev
  libstdc++-12-dev libc6-dev
  # The tests and checks.
  libgtest-dev libclang-rt-22-dev clang-format-22 clang-tidy-22 binutils git
  python3 python3-venv ca-certificates
)

missing=()
for package in "${packages[@]}"; do
  if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
    missing+=("$package")
  fi
done
if ((${#missing[@]})); then
  echo "setup: installing Debian packages: ${missing[*]}"
  as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || {
      echo "setup: this needs root or sudo to install packages" >&2
      exit 1
    }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
else
  echo "setup: all Debian packages are installed"
fi

requirements=scripts/requirements.txt
if ! cmp -s "$requirements" .venv/gatecc-requirements.txt; then
  echo "setup: making the Python environment .venv"
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" .venv/gatecc-requirements.txt
else
  echo "setup: the Python environment .venv is up to date"
fi
