// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A program as the compiler would emit it, written by hand: y = x * w over
// [B, 4], and count[2*B] = 7. Its behaviour can be changed for tests.

#ifndef GATECC_TEST_FAKE_PROGRAM_H
#define GATECC_TEST_FAKE_PROGRAM_H

#include <stdint.h>

enum FakeMode : int32_t {
  FakeNormal,
  FakeFailInTask,   // gatecc_fail from task 3, then more code that must not run
  FakeReturnStatus, // run returns GATECC_RUNTIME without a message
  FakeAllocate,     // uses gatecc_allocate from tasks
  FakeAllocateTooMuch,
  FakeBlock, // tasks that wait until the run is cancelled
};

#ifdef __cplusplus
extern "C" {
#endif
extern int32_t fakeMode;
extern int32_t fakeReached; // code after a failed parallel_for was reached
extern int32_t fakeStarted; // tasks begun
#ifdef __cplusplus
}
#endif

#endif // GATECC_TEST_FAKE_PROGRAM_H
