// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Names of CPUs, what they require, and which version a machine prefers.
#include "gatecc/Target/Cpu.h"

#include "runtime/program.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsX86.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include <gtest/gtest.h>

using namespace gatecc;

static CpuTarget resolve(llvm::StringRef name) {
  std::string error;
  std::optional<CpuTarget> cpu = resolveCpu(name, error);
  EXPECT_TRUE(cpu) << error;
  return cpu.value_or(CpuTarget());
}

TEST(Cpu, LevelsRequireTheirFeatures) {
  CpuTarget v2 = resolve("x86-64-v2"), v3 = resolve("x86-64-v3"),
            v4 = resolve("x86-64-v4");
  EXPECT_TRUE(v2.has("sse4.2"));
  EXPECT_FALSE(v2.has("avx"));
  EXPECT_TRUE(v3.has("avx2") && v3.has("fma"));
  EXPECT_FALSE(v3.has("avx512f"));
  EXPECT_TRUE(v4.has("avx512vl"));
  EXPECT_EQ(v2.vectorBits(), 128u);
  EXPECT_EQ(v3.vectorBits(), 256u);
  EXPECT_EQ(v4.vectorBits(), 512u);
  // A level includes those below it.
  EXPECT_EQ(v2.required & v3.required, v2.required);
  EXPECT_EQ(v3.required & v4.required, v3.required);
}

TEST(Cpu, RankPrefersWiderVectorsThenMoreFeatures) {
  int32_t v2 = resolve("x86-64-v2").rank, v3 = resolve("x86-64-v3").rank,
          v4 = resolve("x86-64-v4").rank, zen3 = resolve("znver3").rank,
          zen4 = resolve("znver4").rank;
  EXPECT_LT(v2, v3);
  EXPECT_LT(v3, zen3);
  EXPECT_LT(zen3, v4);
  EXPECT_LT(v4, zen4);
}

TEST(Cpu, InstructionsOfBf16) {
  CpuTarget zen4 = resolve("znver4"), cooperlake = resolve("cooperlake"),
            sapphireRapids = resolve("sapphirerapids");
  EXPECT_TRUE(zen4.has("avx512bf16") && !zen4.has("amx-tile"));
  EXPECT_TRUE(cooperlake.has("avx512bf16") && !cooperlake.has("amx-tile"));
  EXPECT_TRUE(sapphireRapids.has("amx-tile") && sapphireRapids.has("amx-bf16"));
  EXPECT_LT(cooperlake.rank, sapphireRapids.rank);
}

TEST(Cpu, TilesAreRequiredWhereTheyAreUsed) {
  llvm::LLVMContext context;
  llvm::Module module("m", context);
  CpuTarget cpu = resolve("sapphirerapids"), used = cpu;
  dropUnusedFeatures(cpu, module);
  EXPECT_FALSE(cpu.has("amx-tile") || cpu.has("amx-bf16"));
  EXPECT_TRUE(cpu.has("avx512bf16"));
  llvm::Intrinsic::getOrInsertDeclaration(&module,
                                          llvm::Intrinsic::x86_ldtilecfg);
  dropUnusedFeatures(used, module);
  EXPECT_TRUE(used.has("amx-tile") && used.has("amx-bf16"));
}

TEST(Cpu, NativeIsResolved) {
  CpuTarget native = resolve("native");
  EXPECT_NE(native.name, "native");
  EXPECT_FALSE(native.features.empty());
}

TEST(Cpu, UnknownNamesAreRefused) {
  for (const char *name :
       {"", "nothing", "i686", "pentium4", "x86-64-v5", "generic"}) {
    std::string error;
    EXPECT_FALSE(resolveCpu(name, error)) << name;
    EXPECT_NE(error.find("x86-64-v3"), std::string::npos);
  }
}
