// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Texts of dimensions; descriptions of networks read from modules.
#include "gatecc/Target/Program.h"

#include "dialects/Gate/IR/GateOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include <gtest/gtest.h>

using namespace mlir;
using namespace gatecc;

TEST(ParseExtent, NumbersSymbolsAndProducts) {
  std::vector<std::string> symbols;
  auto b = parseExtent("B", symbols, true);
  ASSERT_TRUE(b);
  EXPECT_EQ(b->coefficient, 1);
  EXPECT_EQ(b->factors, std::vector<int32_t>({0}));
  ASSERT_TRUE(parseExtent("S", symbols, true));
  auto product = parseExtent("2*B*S*3*B", symbols, false);
  ASSERT_TRUE(product);
  EXPECT_EQ(product->coefficient, 6);
  EXPECT_EQ(product->factors, std::vector<int32_t>({0, 1, 0}));
  auto number = parseExtent("12", symbols, false);
  ASSERT_TRUE(number);
  EXPECT_EQ(number->coefficient, 12);
  EXPECT_TRUE(number->factors.empty());
  EXPECT_EQ(symbols, std::vector<std::string>({"B", "S"}));
}

TEST(ParseExtent, RefusesOtherTexts) {
  std::vector<std::string> symbols{"B"};
  for (const char *text : {"", "*", "B*", "0*B", "C", "9999999999*9999999999",
                           "99999999999999999999", "2 B"})
    EXPECT_FALSE(parseExtent(text, symbols, false)) << text;
  EXPECT_EQ(symbols.size(), 1u);
}

namespace {
class Describe : public testing::Test {
protected:
  Describe()
      : handler(&context, [this](Diagnostic &d) {
          message = d.str();
          return success();
        }) {
    context.loadDialect<func::FuncDialect, gate::GateDialect>();
  }
  FailureOr<ProgramDescription> describe(llvm::StringRef attributes,
                                         llvm::StringRef body) {
    std::string text =
        ("module attributes {" + attributes + "} {\n" + body + "\n}").str();
    module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << message;
    return describeProgram(*module);
  }
  MLIRContext context;
  std::string message;
  ScopedDiagnosticHandler handler;
  OwningOpRef<ModuleOp> module;
};
} // namespace

static const char *const kMain =
    "func.func private @main(tensor<?x?x4xbf16> {gate.name = \"x\", gate.dims "
    "= [\"B\", \"S\", 4]},"
    " tensor<?xi1> {gate.name = \"m\", gate.dims = [\"S\"]})"
    " -> (tensor<?xi64> {gate.name = \"y\", gate.dims = [\"2*B*S\"]})\n";

TEST_F(Describe, ReadsTheInterfaceAndTheSites) {
  auto program = describe(
      "gatecc.name = \"net\", gatecc.source_hash = \"12\"",
      std::string(kMain) +
          "gate.site @a {name = \"moe\", kind = \"experts\", cost = array<f64: "
          "1.0, 2.0>,"
          " full_cost = 3.0 : f64, nodes = [], note = \"\"}\n"
          "gate.site @b {name = \"act\", kind = \"halt\", cost = array<f64>,"
          " full_cost = 1.0 : f64, nodes = [], note = \"\"}");
  ASSERT_TRUE(succeeded(program)) << message;
  EXPECT_EQ(program->modelName, "net");
  EXPECT_EQ(program->sourceHash, "12");
  EXPECT_EQ(program->symbols, std::vector<std::string>({"B", "S"}));
  ASSERT_EQ(program->inputs.size(), 2u);
  EXPECT_EQ(program->inputs[0].name, "x");
  EXPECT_EQ(program->inputs[0].dtypeCode, 4);
  EXPECT_EQ(program->inputs[0].dtypeBits, 16);
  EXPECT_EQ(program->inputs[0].shape[2].coefficient, 4);
  EXPECT_EQ(program->inputs[1].dtypeCode, 6);
  EXPECT_EQ(program->inputs[1].dtypeBits, 8);
  ASSERT_EQ(program->outputs.size(), 1u);
  EXPECT_EQ(program->outputs[0].dtypeCode, 0);
  EXPECT_EQ(program->outputs[0].shape[0].coefficient, 2);
  EXPECT_EQ(program->outputs[0].shape[0].factors, std::vector<int32_t>({0, 1}));
  ASSERT_EQ(program->sites.size(), 2u);
  EXPECT_EQ(program->sites[0].numGroups, 2);
  EXPECT_EQ(program->sites[1].numGroups, -1);

  // What is recorded says the same when @main is gone.
  module->lookupSymbol("main")->erase();
  auto again = describeProgram(*module);
  ASSERT_TRUE(succeeded(again));
  EXPECT_EQ(again->inputs[0].name, "x");
  EXPECT_EQ(again->symbols, program->symbols);

  // The constant is valid LLVM IR.
  llvm::LLVMContext llvmContext;
  program->versions.push_back({baselineCpu(), "run_0", "arena_0"});
  program->weightBytes = 64;
  std::unique_ptr<llvm::Module> constants = emitProgram(*program, llvmContext);
  EXPECT_FALSE(llvm::verifyModule(*constants));
  EXPECT_TRUE(constants->getNamedGlobal("gatecc_program")->isConstant());
  EXPECT_TRUE(constants->getNamedGlobal("gatecc_weights"));
  EXPECT_TRUE(constants->getFunction("run_0"));
}

TEST_F(Describe, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(failed(describe("", "")));
  EXPECT_NE(message.find("@main"), std::string::npos);
  const char *const wrong[] = {
      "tensor<?xf32>",                                               // no name
      "tensor<?xf32> {gate.name = \"x\"}",                           // no dims
      "tensor<?xf32> {gate.name = \"x\", gate.dims = []}",           // rank
      "tensor<4xf32> {gate.name = \"x\", gate.dims = [5]}",          // size
      "tensor<4xf32> {gate.name = \"x\", gate.dims = [\"B\"]}",      // static
      "tensor<?xf32> {gate.name = \"x\", gate.dims = [\"2*B\"]}",    // product
      "tensor<?xf32> {gate.name = \"x\", gate.dims = [\"B*\"]}",     // syntax
      "tensor<?xi7> {gate.name = \"x\", gate.dims = [\"B\"]}",       // type
      "tensor<?xf32> {gate.name = \"x\", gate.dims = [1.0 : f32]}"}; // kind
  for (const char *input : wrong)
    EXPECT_TRUE(failed(
        describe("", std::string("func.func private @main(") + input + ")")))
        << input;
  // An output may only use symbols of inputs.
  EXPECT_TRUE(
      failed(describe("", "func.func private @main() -> (tensor<?xf32> "
                          "{gate.name = \"y\", gate.dims = [\"N\"]})")));
  EXPECT_TRUE(failed(describe("gatecc.program = 1", "")));
  EXPECT_TRUE(
      failed(describe("gatecc.program = {inputs = [1], outputs = []}", "")));
}
