// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CPU features against the list of the system, and the choice of a target.

#include "cpu.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

using namespace gatecc_runtime;

TEST(Cpu, AgreesWithTheKernel) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  std::set<std::string> flags;
  while (std::getline(file, line))
    if (line.rfind("flags", 0) == 0) {
      std::istringstream words(line.substr(line.find(':') + 1));
      for (std::string word; words >> word;)
        flags.insert(word);
      break;
    }
  if (flags.empty())
    GTEST_SKIP() << "no /proc/cpuinfo";
  const std::map<std::string, std::string> kernelName = {
      {"sse3", "pni"},
      {"sse4.1", "sse4_1"},
      {"sse4.2", "sse4_2"},
      {"sahf", "lahf_lm"},
      {"lzcnt", "abm"},
      {"bmi", "bmi1"},
      {"pclmul", "pclmulqdq"},
      {"sha", "sha_ni"},
      {"avx512vbmi", "avx512vbmi"},
      {"avx512vbmi2", "avx512_vbmi2"},
      {"avx512vnni", "avx512_vnni"},
      {"avx512bf16", "avx512_bf16"},
      {"avx512fp16", "avx512_fp16"},
      {"avx512bitalg", "avx512_bitalg"},
      {"avx512vpopcntdq", "avx512_vpopcntdq"},
      {"avx512vp2intersect", "avx512_vp2intersect"},
      {"avxvnni", "avx_vnni"},
      {"avxifma", "avx_ifma"},
      {"amx-tile", "amx_tile"},
      {"amx-bf16", "amx_bf16"}};
  uint64_t features = cpuFeatures();
  for (int bit = 0; bit < 64; ++bit) {
    const char *name = cpuFeatureName(bit);
    // Not in the kernel's list.
    if (!name || std::string(name).rfind("avxvnniint", 0) == 0 ||
        std::string(name) == "avxneconvert")
      continue;
    auto it = kernelName.find(name);
    EXPECT_EQ((features >> bit & 1) != 0,
              flags.count(it == kernelName.end() ? name : it->second) != 0)
        << name;
  }
}

TEST(Cpu, HighestRankThatFits) {
  gatecc_program_target targets[] = {
      {"a", GATECC_CPU_SSE3, nullptr, nullptr, 1},
      {"b", GATECC_CPU_SSE3 | GATECC_CPU_AVX2, nullptr, nullptr, 2},
      {"c", GATECC_CPU_AVX512F, nullptr, nullptr, 3}};
  gatecc_program program = {};
  program.num_targets = 3;
  program.targets = targets;
  EXPECT_EQ(chooseTarget(program, 0), nullptr);
  EXPECT_EQ(chooseTarget(program, GATECC_CPU_SSE3), &targets[0]);
  EXPECT_EQ(chooseTarget(program, GATECC_CPU_SSE3 | GATECC_CPU_AVX2),
            &targets[1]);
  EXPECT_EQ(chooseTarget(program, ~UINT64_C(0)), &targets[2]);
}

// The system grants tile registers, or what does without them is taken.
TEST(Cpu, TilesNeedPermission) {
  gatecc_program_target targets[] = {
      {"plain", GATECC_CPU_SSE3, nullptr, nullptr, 1},
      {"tiles", GATECC_CPU_SSE3 | GATECC_CPU_AMXTILE, nullptr, nullptr, 2}};
  gatecc_program program = {};
  program.num_targets = 2;
  program.targets = targets;
  const gatecc_program_target *target = findTarget(program);
  if (!(cpuFeatures() & GATECC_CPU_AMXTILE))
    EXPECT_EQ(target, &targets[0]);
  else
    ASSERT_NE(target, nullptr);
  program.num_targets = 1;
  EXPECT_EQ(findTarget(program), &targets[0]);
}
