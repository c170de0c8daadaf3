#!/bin/bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs the tests of the runtime and the example hosts under ASan and UBSan, then under
# TSan, in builds of their own that need no LLVM libraries. With --compiler also builds the
# compiler with ASan and UBSan (minutes) and runs its unit and lit tests.
set -uo pipefail
cd "$(dirname "$0")/.."

status=0
for kind in address thread; do
  build=build-runtime-$kind
  echo "sanitize: the runtime with -fsanitize=$kind"
  {
    cmake -S runtime -B "$build" -G Ninja -DGATECC_SANITIZE=$kind \
      -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 >/dev/null &&
      cmake --build "$build" >/dev/null &&
      ctest --test-dir "$build" -j "$(nproc)" --output-on-failure --timeout 600 --no-tests=error
  } || status=1
done
if [[ ${1-} == --compiler ]]; then
  echo "sanitize: the compiler with -fsanitize=address,undefined"
  # LLVM's libraries are not instrumented: containers, leaks and allocators that cross the
  # border are not what they seem. LLVM's threads have signal stacks of their own, which ASan
  # would free as if they were its.
  ASAN_OPTIONS=detect_container_overflow=0:detect_leaks=0
  export ASAN_OPTIONS+=:allow_user_poisoning=0:use_sigaltstack=0
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  {
    cmake --preset asan >/dev/null && cmake --build --preset asan &&
      ctest --test-dir build-asan -j "$(nproc)" --output-on-failure --timeout 600 --no-tests=error &&
      /usr/lib/llvm-22/bin/lit -sv build-asan/test
  } || status=1
fi
if ((status)); then
  echo "sanitize: FAILED"
else
  echo "sanitize: OK"
fi
exit "$status"
