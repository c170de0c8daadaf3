// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// .npy files: what NumPy writes, and what breaks.
#include "lib/Driver/Npy.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace gatecc;

/// A file with this header (version 1) and data.
static std::string npy(std::string header, std::string data, char version = 1) {
  header += "\n";
  std::string file("\x93NUMPY", 6);
  file += {version, 0, char(header.size() & 0xff), char(header.size() >> 8)};
  if (version > 1)
    file += {0, 0};
  return file + header + data;
}

static std::string header(std::string descr, std::string shape,
                          bool fortran = false) {
  return "{'descr': '" + descr +
         "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + shape + ", }";
}

static std::string errorOf(const std::string &file) {
  std::string error;
  EXPECT_FALSE(parseNpy(file, error));
  EXPECT_FALSE(error.empty());
  return error;
}

static std::optional<NpyArray> parse(const std::string &file) {
  std::string error;
  std::optional<NpyArray> array = parseNpy(file, error);
  EXPECT_TRUE(array) << error;
  return array;
}

TEST(Npy, ReadsAllTypes) {
  struct {
    const char *descr;
    int code, bits;
  } cases[] = {
      {"<f4", kDLFloat, 32}, {"<f8", kDLFloat, 64}, {"<f2", kDLFloat, 16},
      {"<i8", kDLInt, 64},   {"<i4", kDLInt, 32},   {"<i2", kDLInt, 16},
      {"|i1", kDLInt, 8},    {"|u1", kDLUInt, 8},   {"<u2", kDLUInt, 16},
      {"<u4", kDLUInt, 32},  {"<u8", kDLUInt, 64},  {"|b1", kDLBool, 8}};
  for (auto &c : cases)
    for (char version : {1, 2, 3}) {
      auto array = parse(npy(header(c.descr, "(2, 1)"),
                             std::string(c.bits / 4, '\1'), version));
      ASSERT_TRUE(array);
      EXPECT_EQ(array->type.code, c.code) << c.descr;
      EXPECT_EQ(array->type.bits, c.bits) << c.descr;
      EXPECT_EQ(array->shape, std::vector<int64_t>({2, 1}));
      EXPECT_EQ(array->data.size(), size_t(c.bits / 4));
    }
}

TEST(Npy, HalvesAreViews) {
  for (const char *descr : {"<u2", "|V2", "<V2"}) {
    auto array = parse(npy(header(descr, "(1,)"), "ab"));
    ASSERT_TRUE(array);
    array->adoptType({kDLBfloat, 16, 1});
    EXPECT_EQ(array->type.code, kDLBfloat) << descr;
    EXPECT_FALSE(array->isOpaque);
  }
  auto opaque = parse(npy(header("|V2", "(1,)"), "ab"));
  ASSERT_TRUE(opaque);
  opaque->adoptType({kDLFloat, 32, 1});
  EXPECT_TRUE(opaque->isOpaque);
  auto floats = parse(npy(header("<f4", "(1,)"), "abcd"));
  floats->adoptType({kDLBfloat, 16, 1});
  EXPECT_EQ(floats->type.code, kDLFloat);
}

TEST(Npy, ReadsShapes) {
  EXPECT_TRUE(parse(npy(header("|i1", "()"), "x"))->shape.empty());
  EXPECT_EQ(
      parse(npy(header("|i1", "(0, 9223372036854775807)"), ""))->data.size(),
      0u);
  EXPECT_EQ(parse(npy(header("|i1", "(3L,)"), "xyz"))->shape,
            std::vector<int64_t>({3}));
  // Other orders of the keys, other quotes, more data than needed.
  EXPECT_TRUE(parse(
      npy("{\"shape\":(1,),\"descr\":\"|u1\",\"fortran_order\":False}", "xx")));
}

TEST(Npy, ReordersFortranArrays) {
  auto array = parse(npy(header("|u1", "(2, 3)", true), "adbecf"));
  EXPECT_EQ(std::string(array->data.begin(), array->data.end()), "abcdef");
  array = parse(npy(header("|u1", "(2, 1, 2)", true), "acbd"));
  EXPECT_EQ(std::string(array->data.begin(), array->data.end()), "abcd");
  EXPECT_TRUE(parse(npy(header("<f4", "(0, 3)", true), ""))->data.empty());
}

TEST(Npy, RefusesWhatBreaks) {
  EXPECT_EQ(errorOf(""), "it is not a .npy file");
  EXPECT_EQ(errorOf("PK\3\4 an archive"), "it is not a .npy file");
  std::string good = npy(header("<f4", "(2, 2)"), std::string(16, 'x'));
  for (size_t size = 0; size < good.size(); ++size)
    errorOf(good.substr(0, size));
  EXPECT_NE(errorOf(npy(header(">f4", "(1,)"), "abcd")).find("big-endian"),
            std::string::npos);
  for (const char *descr :
       {"|O", "<U3", "<c8", "<f16", "<i3", "<f", "", "|V4", "<M8[ns]"})
    errorOf(npy(header(descr, "(1,)"), std::string(64, 'x')));
  errorOf(npy(header("<f4", "(4294967296, 4294967296, 4294967296)"), ""));
  errorOf(npy(header("<f4", "(-1,)"), ""));
  errorOf(npy(header("<f4", "(1"), "abcd"));
  errorOf(npy(header("<f4", "1"), "abcd"));
  errorOf(npy(header("<f4", "(99999999999999999999,)"), "abcd"));
  errorOf(
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
          "abcd"));
  errorOf(npy("{'descr': '<f4', 'shape': (1,), }", "abcd"));
  errorOf(npy(header("<f4", "(1,)") + " more", "abcd"));
  errorOf(npy(header("<f4", "(1,)"), "abcd", 9));
}

TEST(Npy, WritesWhatItReads) {
  for (const std::vector<int64_t> &shape :
       {std::vector<int64_t>{}, {2}, {1, 2}, {2, 0, 5}}) {
    int64_t count = 1;
    for (int64_t extent : shape)
      count *= extent;
    std::string data(count * 4, 'z');
    std::string file = formatNpy({kDLInt, 32, 1}, shape, data);
    EXPECT_EQ((file.size() - data.size()) % 64, 0u);
    auto array = parse(file);
    EXPECT_EQ(array->shape, shape);
    EXPECT_EQ(array->type.code, kDLInt);
    EXPECT_EQ(std::string(array->data.begin(), array->data.end()), data);
  }
  EXPECT_NE(formatNpy({kDLBfloat, 16, 1}, {1}, "ab").find("'<u2'"),
            std::string::npos);
  EXPECT_NE(formatNpy({kDLBool, 8, 1}, {1}, "a").find("'|b1'"),
            std::string::npos);
}

TEST(Npy, NamesTypes) {
  EXPECT_EQ(typeName({kDLBfloat, 16, 1}), "bf16");
  EXPECT_EQ(typeName({kDLUInt, 8, 1}), "u8");
  EXPECT_EQ(typeName({kDLBool, 8, 1}), "bool");
}
