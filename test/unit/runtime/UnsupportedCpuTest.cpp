// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A library whose only target needs a CPU that does not exist.

#include "gatecc/runtime.h"
#include "program.h"

#include <gtest/gtest.h>

#include <string>

static int32_t run(const gatecc_frame *) { return 0; }
static int64_t arenaBytes(const int64_t *) { return 0; }
static const gatecc_program_target targets[] = {
    {"future", UINT64_C(1) << 62 | GATECC_CPU_AVX512FP16, run, arenaBytes, 0}};

extern "C" const gatecc_program gatecc_program_constant = {
    "0.1",   "m",     "00",    0,       0,       0,       0,       0,      1,
    nullptr, nullptr, nullptr, nullptr, targets, nullptr, nullptr, nullptr};

TEST(UnsupportedCpu, IsAStatus) {
  const gatecc_library *library = gatecc_get_library(GATECC_ABI_VERSION);
  ASSERT_NE(library, nullptr);
  EXPECT_EQ(library->supported(), GATECC_UNSUPPORTED_CPU);
  char message[200] = "";
  gatecc_options options = {};
  options.struct_size = sizeof options;
  options.error_message = message;
  options.error_message_bytes = sizeof message;
  gatecc_context *context;
  EXPECT_EQ(library->create(&options, &context), GATECC_UNSUPPORTED_CPU);
  EXPECT_EQ(context, nullptr);
  EXPECT_NE(std::string(message).find("this CPU lacks"), std::string::npos);
  gatecc_memory memory = {};
  memory.struct_size = sizeof memory;
  EXPECT_EQ(library->memory(nullptr, 0, &memory), GATECC_UNSUPPORTED_CPU);
  EXPECT_STREQ(library->targets[0].features, "avx512fp16");
}
