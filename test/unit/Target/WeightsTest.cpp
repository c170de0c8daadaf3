// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Places and bytes of weights: strides, panels, values, bounds.
#include "gatecc/Target/Weights.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "runtime/program.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/xxhash.h"
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>

using namespace mlir;
using namespace gatecc;

namespace {
class Weights : public testing::Test {
protected:
  Weights()
      : handler(&context, [this](Diagnostic &d) {
          message += d.str() + "\n";
          return success();
        }) {
    context.loadDialect<gate::GateDialect>();
    int file;
    EXPECT_FALSE(
        llvm::sys::fs::createTemporaryFile("weights", "bin", file, path));
    // 16 bytes of something else, then the floats 0, 1, 2, ..., 63.
    std::vector<float> numbers(64);
    std::iota(numbers.begin(), numbers.end(), 0.0f);
    llvm::raw_fd_ostream os(file, /*shouldClose=*/true);
    os.write("0123456789abcdef", 16);
    os.write(reinterpret_cast<const char *>(numbers.data()),
             numbers.size() * 4);
  }
  ~Weights() override { llvm::sys::fs::remove(path); }

  /// Every `FILE` in the text becomes the name of the file. All weights are
  /// read by a gate.weight_value.
  OwningOpRef<ModuleOp>
  parse(std::string text,
        std::vector<std::pair<std::string, std::string>> used) {
    for (size_t at; (at = text.find("FILE")) != std::string::npos;)
      text.replace(at, 4, ("file = \"" + path.str() + "\"").str());
    for (auto &[name, type] : used)
      text += "\n%" + name + " = gate.weight_value @" + name + " : " + type;
    auto module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << message;
    return module;
  }
  std::vector<float> evaluate(ModuleOp module) {
    FailureOr<uint64_t> bytes = layoutWeights(module);
    EXPECT_TRUE(succeeded(bytes)) << message;
    std::vector<float> data(*bytes / 4);
    EXPECT_TRUE(succeeded(evaluateWeights(
        module, {reinterpret_cast<uint8_t *>(data.data()), *bytes})))
        << message;
    return data;
  }

  MLIRContext context;
  std::string message;
  ScopedDiagnosticHandler handler;
  llvm::SmallString<128> path;
};
} // namespace

TEST_F(Weights, StridesSliceAndTranspose) {
  auto module = parse("gate.weight @a : tensor<2x3xf32> {FILE, offset = 20 : "
                      "i64, strides = array<i64: 32, 4>}\n"
                      "gate.weight @t : tensor<3x2xf32> {FILE, offset = 16 : "
                      "i64, strides = array<i64: 4, 32>}\n"
                      "gate.weight @unused : tensor<4xf32> {FILE, offset = 0 : "
                      "i64, strides = array<i64: 4>}",
                      {{"a", "tensor<2x3xf32>"}, {"t", "tensor<3x2xf32>"}});
  std::vector<float> data = evaluate(*module);
  ASSERT_EQ(data.size(), 32u); // two places of 64 bytes
  EXPECT_EQ(std::vector<float>(&data[0], &data[6]),
            std::vector<float>({1, 2, 3, 9, 10, 11}));
  EXPECT_EQ(std::vector<float>(&data[16], &data[22]),
            std::vector<float>({0, 8, 1, 9, 2, 10}));
  EXPECT_FALSE(module->lookupSymbol("unused")->hasAttr("gate.offset"));
}

TEST_F(Weights, LargeTransposeIsExact) {
  auto module =
      parse("gate.weight @t : tensor<3x64xf32> {FILE, offset = 16 : i64, "
            "strides = array<i64: 0, 4>}\n"
            "gate.weight @u : tensor<64x130xf32> {FILE, offset = 16 : i64, "
            "strides = array<i64: 4, 0>}\n"
            "gate.weight @v : tensor<8x8xf32> {FILE, offset = 16 : i64, "
            "strides = array<i64: 4, 32>}",
            {{"t", "tensor<3x64xf32>"},
             {"u", "tensor<64x130xf32>"},
             {"v", "tensor<8x8xf32>"}});
  std::vector<float> data = evaluate(*module);
  for (int i = 0; i < 3 * 64; ++i)
    ASSERT_EQ(data[i], i % 64);
  for (int i = 0; i < 64 * 130; ++i)
    ASSERT_EQ(data[192 + i], i / 130);
  for (int i = 0; i < 64; ++i)
    ASSERT_EQ(data[192 + 64 * 130 + i], i / 8 + i % 8 * 8);
}

TEST_F(Weights, PanelsOfTwoSources) {
  // [K = 2, N = 3] in panels of 2 columns, two weights side by side.
  auto module = parse("gate.weight @g : tensor<2x3xf32> {FILE, offset = 16 : "
                      "i64, strides = array<i64: 12, 4>}\n"
                      "gate.weight @u : tensor<2x3xf32> {FILE, offset = 40 : "
                      "i64, strides = array<i64: 12, 4>}\n"
                      "gate.packed_weight @p : tensor<1x2x2x4xf32> {sources = "
                      "[@g, @u], lanes = 2 : i64}",
                      {{"p", "tensor<1x2x2x4xf32>"}});
  std::vector<float> data = evaluate(*module);
  ASSERT_EQ(data.size(), 16u);
  EXPECT_EQ(data, std::vector<float>({0, 1, 6, 7, 3, 4, 9, 10, // panel 0
                                      2, 0, 8, 0, 5, 0, 11, 0}));
}

TEST_F(Weights, PanelsOfGroups) {
  auto module =
      parse("gate.weight @g : tensor<2x2x2xf32> {FILE, offset = 16 : i64, "
            "strides = array<i64: 16, 4, 8>}\n" // transposed in each group
            "gate.packed_weight @p : tensor<2x1x2x4xf32> {sources = [@g], "
            "lanes = 4 : i64}",
            {{"p", "tensor<2x1x2x4xf32>"}});
  std::vector<float> data = evaluate(*module);
  EXPECT_EQ(data, std::vector<float>(
                      {0, 2, 0, 0, 1, 3, 0, 0, 4, 6, 0, 0, 5, 7, 0, 0}));
}

TEST_F(Weights, StacksHoldTheirParts) {
  std::string part =
      " : tensor<2x2xf32> {FILE, strides = array<i64: 4, 8>, offset = ";
  auto module =
      parse("gate.weight @a" + part + "16 : i64}\ngate.weight @b" + part +
                "48 : i64}\n"
                "gate.weight @s : tensor<3x2x2xf32> {stack = [@b, @a, @b]}\n"
                "gate.weight @v : tensor<2x1xf32> {stack = [@one, @two]}\n"
                "gate.weight @one : tensor<1xf32> {value = dense<1.0> : "
                "tensor<1xf32>}\n"
                "gate.weight @two : tensor<1xf32> {value = dense<2.0> : "
                "tensor<1xf32>}\n"
                "gate.packed_weight @p : tensor<3x1x2x4xf32> {sources = [@s], "
                "lanes = 4 : i64}",
            {{"s", "tensor<3x2x2xf32>"},
             {"v", "tensor<2x1xf32>"},
             {"p", "tensor<3x1x2x4xf32>"}});
  std::vector<float> data = evaluate(*module);
  auto place = [&](const char *name) {
    return data.begin() + module->lookupSymbol(name)
                                  ->getAttrOfType<IntegerAttr>("gate.offset")
                                  .getInt() /
                              4;
  };
  EXPECT_EQ(std::vector<float>(place("s"), place("s") + 12),
            std::vector<float>({8, 10, 9, 11, 0, 2, 1, 3, 8, 10, 9, 11}));
  EXPECT_EQ(std::vector<float>(place("v"), place("v") + 2),
            std::vector<float>({1, 2}));
  EXPECT_EQ(std::vector<float>(place("p"), place("p") + 12),
            std::vector<float>({8, 10, 0, 0, 9, 11, 0, 0, 0, 2, 0, 0}));
}

TEST_F(Weights, ValuesOfAllTypes) {
  auto module = parse(
      "gate.weight @f : tensor<3xf32> {value = dense<[1.5, -2.0, 3.0]> : "
      "tensor<3xf32>}\n"
      "gate.weight @b : tensor<9xi1> {value = dense<[true, false, true, true, "
      "false, true, true, true, true]> : tensor<9xi1>}\n"
      "gate.weight @s : tensor<2x2xi64> {value = dense<-7> : tensor<2x2xi64>}\n"
      "gate.weight @h : tensor<2xbf16> {value = dense<[1.0, -1.0]> : "
      "tensor<2xbf16>}\n"
      "gate.weight @e : tensor<0x4xf32> {value = dense<> : tensor<0x4xf32>}",
      {{"f", "tensor<3xf32>"},
       {"b", "tensor<9xi1>"},
       {"s", "tensor<2x2xi64>"},
       {"h", "tensor<2xbf16>"},
       {"e", "tensor<0x4xf32>"}});
  std::vector<float> data = evaluate(*module);
  EXPECT_EQ(data[1], -2.0f);
  const auto *bytes = reinterpret_cast<const uint8_t *>(data.data());
  EXPECT_EQ(std::vector<uint8_t>(bytes + 64, bytes + 73),
            std::vector<uint8_t>({1, 0, 1, 1, 0, 1, 1, 1, 1}));
  int64_t word;
  std::memcpy(&word, bytes + 128 + 24, 8);
  EXPECT_EQ(word, -7);
  EXPECT_EQ(bytes[192 + 1], 0x3f);
  EXPECT_EQ(bytes[192 + 3], 0xbf);
}

TEST_F(Weights, EqualWeightsShareAPlace) {
  const char *text = "gate.weight @a : tensor<4xf32> {FILE, offset = 16 : i64, "
                     "strides = array<i64: 4>}\n"
                     "gate.weight @b : tensor<4xf32> {FILE, offset = 16 : i64, "
                     "strides = array<i64: 4>}\n"
                     "gate.weight @c : tensor<4xf32> {FILE, offset = 20 : i64, "
                     "strides = array<i64: 4>}";
  std::vector<std::pair<std::string, std::string>> used = {
      {"a", "tensor<4xf32>"}, {"b", "tensor<4xf32>"}, {"c", "tensor<4xf32>"}};
  auto first = parse(text, used), second = parse(text, used);
  FailureOr<uint64_t> bytes = layoutWeights({*first, *second});
  ASSERT_TRUE(succeeded(bytes));
  EXPECT_EQ(*bytes, 128u);
  auto offset = [](ModuleOp module, const char *name) {
    return module.lookupSymbol(name)
        ->getAttrOfType<IntegerAttr>("gate.offset")
        .getInt();
  };
  EXPECT_EQ(offset(*first, "a"), offset(*first, "b"));
  EXPECT_NE(offset(*first, "a"), offset(*first, "c"));
  EXPECT_EQ(offset(*first, "c"), offset(*second, "c"));
  FailureOr<uint64_t> placed = placedBytes({*first, *second});
  ASSERT_TRUE(succeeded(placed));
  EXPECT_EQ(*placed, 128u);
}

TEST_F(Weights, PackedWeightsOfOtherBytesHavePlacesOfTheirOwn) {
  // The same integers and type, but other scales, or another format.
  std::string text =
      "gate.weight @q : tensor<3x4xui8> {FILE, offset = 16 : i64, strides = "
      "array<i64: 4, 1>}\n"
      "gate.weight @s : tensor<3x1xf32> {FILE, offset = 32 : i64, strides = "
      "array<i64: 4, 4>}\n"
      "gate.weight @t : tensor<3x1xf32> {FILE, offset = 64 : i64, strides = "
      "array<i64: 4, 4>}\n";
  std::vector<std::pair<std::string, std::string>> used;
  auto add = [&](const char *name, const char *scales, const char *format) {
    text += std::string("gate.packed_weight @") + name +
            " : tensor<1x2x1x28xi8> {sources = [@q], scales = [@" + scales +
            "], lanes = 2 : i64, bits = 8 : i64, depth = 4 : i64, "
            "source_block = 8 : i64, block = 8 : i64, zeros, format = "
            "#gate.panel<" +
            format + ">}\n";
    used.emplace_back(name, "tensor<1x2x1x28xi8>");
  };
  add("a", "s", "int8");
  add("b", "s", "int8");
  add("c", "t", "int8");
  add("d", "s", "int8q");
  auto module = parse(text, used);
  ASSERT_TRUE(succeeded(layoutWeights(*module)));
  auto offset = [&](const char *name) {
    return module->lookupSymbol(name)
        ->getAttrOfType<IntegerAttr>("gate.offset")
        .getInt();
  };
  EXPECT_EQ(offset("a"), offset("b"));
  EXPECT_NE(offset("a"), offset("c"));
  EXPECT_NE(offset("a"), offset("d"));
}

TEST_F(Weights, PanelsOfQuads) {
  // One column of 8 rows: integers as they are in the file, zero point 128.
  auto module = parse(
      "gate.weight @q : tensor<1x8xui8> {value = dense<[[0, 1, 2, 3, 252, 253, "
      "254, 255]]> : tensor<1x8xui8>}\n"
      "gate.weight @s : tensor<1x1xf32> {value = dense<1.0> : "
      "tensor<1x1xf32>}\n"
      "gate.packed_weight @p : tensor<1x1x1x28xi8> {sources = [@q], scales = "
      "[@s], lanes = 2 : i64, bits = 8 : i64, depth = 8 : i64, source_block = "
      "8 : i64, block = 8 : i64, zeros, format = #gate.panel<int8q>}",
      {{"p", "tensor<1x1x1x28xi8>"}});
  std::vector<float> data = evaluate(*module);
  const auto *bytes = reinterpret_cast<const uint8_t *>(data.data());
  EXPECT_EQ(std::vector<uint8_t>(bytes, bytes + 4),
            std::vector<uint8_t>({0, 1, 2, 3}));
  EXPECT_EQ(std::vector<uint8_t>(bytes + 8, bytes + 12),
            std::vector<uint8_t>({252, 253, 254, 255}));
  EXPECT_EQ(int8_t(bytes[16]) + int8_t(bytes[17]), -128);
  EXPECT_EQ(data[5], 1.0f);
}

TEST_F(Weights, BoundsAreChecked) {
  struct {
    const char *type, *offset, *strides;
    bool fits;
  } cases[] = {
      {"tensor<64xf32>", "16", "4", true},
      {"tensor<64xf32>", "17", "4", false},
      {"tensor<65xf32>", "16", "4", false},
      {"tensor<2xf32>", "16", "9223372036854775807", false},
      {"tensor<3xf32>", "9223372036854775807", "9223372036854775807", false},
      {"tensor<0xf32>", "9223372036854775807", "4", true},
      {"tensor<1xf32>", "268", "9223372036854775807", true}};
  for (auto &c : cases) {
    auto module = parse(std::string("gate.weight @w : ") + c.type +
                            " {FILE, offset = " + c.offset +
                            " : i64, strides = array<i64: " + c.strides + ">}",
                        {{"w", c.type}});
    FailureOr<uint64_t> bytes = layoutWeights(*module);
    ASSERT_TRUE(succeeded(bytes));
    std::vector<uint8_t> data(*bytes);
    EXPECT_EQ(succeeded(evaluateWeights(*module, data)), c.fits)
        << c.type << c.offset;
  }
  auto module = parse("gate.weight @w : tensor<9223372036854775807x4xf32> "
                      "{FILE, strides = array<i64: 0, 0>}",
                      {{"w", "tensor<9223372036854775807x4xf32>"}});
  EXPECT_TRUE(failed(layoutWeights(*module)));
  EXPECT_NE(message.find("too large"), std::string::npos);
}

TEST_F(Weights, FilesOfBothKinds) {
  auto module =
      parse("gate.weight @a : tensor<64xf32> {FILE, offset = 16 : i64, "
            "strides = array<i64: 4>}",
            {{"a", "tensor<64xf32>"}});
  std::vector<float> data = evaluate(*module);
  uint64_t expected = llvm::xxHash64(llvm::ArrayRef(
      reinterpret_cast<const uint8_t *>(data.data()), data.size() * 4));
  for (WeightContainer container :
       {WeightContainer::Object, WeightContainer::File}) {
    std::string out = (path + ".out").str();
    uint64_t hash = 0;
    ASSERT_TRUE(succeeded(writeWeights(*module, container, out, "x.so", hash)))
        << message;
    EXPECT_EQ(hash, expected);
    auto file = llvm::MemoryBuffer::getFile(out, false, false);
    ASSERT_TRUE(file);
    llvm::StringRef contents = (*file)->getBuffer();
    ASSERT_GE(contents.size(), GATECC_WEIGHTS_START + 256);
    EXPECT_EQ(
        std::memcmp(contents.data() + GATECC_WEIGHTS_START, data.data(), 256),
        0);
    if (container == WeightContainer::File) {
      gatecc_weights_header header;
      std::memcpy(&header, contents.data(), sizeof(header));
      EXPECT_STREQ(header.magic, GATECC_WEIGHTS_MAGIC);
      EXPECT_EQ(header.version, GATECC_WEIGHTS_VERSION);
      EXPECT_EQ(header.data_bytes, 256u);
      EXPECT_EQ(header.hash, expected);
      EXPECT_EQ(contents.size(), GATECC_WEIGHTS_START + 256);
    } else {
      EXPECT_EQ(contents.substr(1, 3), "ELF");
    }
    llvm::sys::fs::remove(out);
  }
  uint64_t hash;
  message.clear();
  EXPECT_TRUE(failed(writeWeights(*module, WeightContainer::File,
                                  "/nonexistent/w", "x.so", hash)));
  EXPECT_NE(message.find("cannot write 'x.so'"), std::string::npos);
}
