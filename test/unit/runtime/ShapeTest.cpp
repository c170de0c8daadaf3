// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Symbols from shapes: products, quotients, contradictions, zeros, overflow.

#include "context.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace gatecc_runtime;

namespace {
const int32_t b[] = {0}, s[] = {1}, bs[] = {0, 1}, bb[] = {0, 0};
const gatecc_extent B = {1, 1, 1, b}, S = {1, 1, 1, s}, BS = {1, 1, 2, bs},
                    TwoB = {1, 2, 1, b}, BB = {1, 1, 2, bb},
                    Four = {0, 4, 0, nullptr}, ThreeBS = {1, 3, 2, bs};
const char *const names[] = {"B", "S"};

struct Result {
  gatecc_status status;
  int64_t symbols[2];
  std::string message;
};

// Binds one input of the given extents and shape.
Result bind(std::vector<gatecc_extent> extents, std::vector<int64_t> shape) {
  gatecc_program_tensor input = {"x", 2, 32, int32_t(extents.size()),
                                 extents.data()};
  gatecc_program program = {};
  program.num_inputs = 1;
  program.inputs = &input;
  program.num_symbols = 2;
  program.symbols = names;
  const int64_t *shapes[] = {shape.data()};
  unsigned char bound[2];
  char message[256] = "";
  Result r;
  r.status =
      bindSymbols(program, shapes, r.symbols, bound, message, sizeof message);
  r.message = message;
  return r;
}
} // namespace

TEST(Shape, Binds) {
  Result r = bind({BS, B}, {15, 5});
  EXPECT_EQ(r.status, GATECC_OK);
  EXPECT_EQ(r.symbols[0], 5);
  EXPECT_EQ(r.symbols[1], 3);
  r = bind({ThreeBS, TwoB, Four}, {60, 8, 4});
  EXPECT_EQ(r.status, GATECC_OK);
  EXPECT_EQ(r.symbols[0], 4);
  EXPECT_EQ(r.symbols[1], 5);
}

TEST(Shape, Contradictions) {
  EXPECT_EQ(bind({B, B}, {3, 4}).status, GATECC_INVALID_ARGUMENT);
  EXPECT_NE(bind({B, B}, {3, 4}).message.find("input 'x': dimension 1 is 4"),
            std::string::npos);
  EXPECT_EQ(bind({TwoB}, {7}).status, GATECC_INVALID_ARGUMENT);
  EXPECT_NE(bind({TwoB}, {7}).message.find("2*B"), std::string::npos);
  EXPECT_EQ(bind({BS, B}, {16, 5}).status, GATECC_INVALID_ARGUMENT);
  EXPECT_EQ(bind({Four}, {5}).status, GATECC_INVALID_ARGUMENT);
  EXPECT_EQ(bind({BS}, {6}).status, GATECC_INVALID_ARGUMENT);
  EXPECT_EQ(bind({BS, B}, {4, 0}).status, GATECC_INVALID_ARGUMENT);
}

TEST(Shape, Zeros) {
  Result r = bind({BS, B}, {0, 0});
  EXPECT_EQ(r.status, GATECC_OK);
  EXPECT_EQ(r.symbols[0], 0);
  r = bind({BS, B, S}, {0, 0, 9});
  EXPECT_EQ(r.status, GATECC_OK);
  EXPECT_EQ(r.symbols[1], 9);
  EXPECT_EQ(bind({BS}, {0}).status, GATECC_OK);
}

TEST(Shape, Overflow) {
  int64_t huge[] = {INT64_MAX / 2, 4};
  EXPECT_EQ(evaluateExtent(BS, huge), -1);
  EXPECT_EQ(evaluateExtent(BB, huge), -1);
  int64_t zero[] = {INT64_MAX, 0};
  EXPECT_EQ(evaluateExtent(ThreeBS, zero), 0);
  gatecc_extent shape[] = {B, Four};
  gatecc_program_tensor t = {"t", 2, 64, 2, shape};
  EXPECT_EQ(tensorBytes(t, huge), -1);
  int64_t five[] = {5, 0};
  EXPECT_EQ(tensorBytes(t, five), 160);
}

TEST(Shape, Text) {
  gatecc_program program = {};
  program.num_symbols = 2;
  program.symbols = names;
  char text[32];
  EXPECT_EQ(extentText(program, ThreeBS, text, sizeof text), 5u);
  EXPECT_STREQ(text, "3*B*S");
  extentText(program, BS, text, sizeof text);
  EXPECT_STREQ(text, "B*S");
  extentText(program, Four, text, sizeof text);
  EXPECT_STREQ(text, "4");
  EXPECT_EQ(extentText(program, ThreeBS, text, 3), 5u);
  EXPECT_STREQ(text, "3*");
}
