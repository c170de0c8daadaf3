// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CPU features by cpuid and xgetbv (the compiler's builtins for this need
// compiler-rt, which a library does not have).

#include "cpu.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// Where cpuid reports a feature.
enum Register : uint8_t { EAX, EBX, ECX, EDX };
// What the system must have enabled for it.
enum State : uint8_t { None, Ymm, Zmm, Tile };

struct Source {
  uint64_t feature;
  uint32_t leaf;
  uint8_t subleaf;
  Register reg;
  uint8_t bit;
  State state;
};

const Source sources[] = {
    {GATECC_CPU_SSE3, 1, 0, ECX, 0, None},
    {GATECC_CPU_PCLMUL, 1, 0, ECX, 1, None},
    {GATECC_CPU_SSSE3, 1, 0, ECX, 9, None},
    {GATECC_CPU_FMA, 1, 0, ECX, 12, Ymm},
    {GATECC_CPU_CX16, 1, 0, ECX, 13, None},
    {GATECC_CPU_SSE4_1, 1, 0, ECX, 19, None},
    {GATECC_CPU_SSE4_2, 1, 0, ECX, 20, None},
    {GATECC_CPU_MOVBE, 1, 0, ECX, 22, None},
    {GATECC_CPU_POPCNT, 1, 0, ECX, 23, None},
    {GATECC_CPU_AES, 1, 0, ECX, 25, None},
    {GATECC_CPU_AVX, 1, 0, ECX, 28, Ymm},
    {GATECC_CPU_F16C, 1, 0, ECX, 29, Ymm},
    {GATECC_CPU_BMI, 7, 0, EBX, 3, None},
    {GATECC_CPU_AVX2, 7, 0, EBX, 5, Ymm},
    {GATECC_CPU_BMI2, 7, 0, EBX, 8, None},
    {GATECC_CPU_AVX512F, 7, 0, EBX, 16, Zmm},
    {GATECC_CPU_AVX512DQ, 7, 0, EBX, 17, Zmm},
    {GATECC_CPU_ADX, 7, 0, EBX, 19, None},
    {GATECC_CPU_AVX512IFMA, 7, 0, EBX, 21, Zmm},
    {GATECC_CPU_AVX512CD, 7, 0, EBX, 28, Zmm},
    {GATECC_CPU_SHA, 7, 0, EBX, 29, None},
    {GATECC_CPU_AVX512BW, 7, 0, EBX, 30, Zmm},
    {GATECC_CPU_AVX512VL, 7, 0, EBX, 31, Zmm},
    {GATECC_CPU_AVX512VBMI, 7, 0, ECX, 1, Zmm},
    {GATECC_CPU_AVX512VBMI2, 7, 0, ECX, 6, Zmm},
    {GATECC_CPU_GFNI, 7, 0, ECX, 8, None},
    {GATECC_CPU_VAES, 7, 0, ECX, 9, Ymm},
    {GATECC_CPU_VPCLMULQDQ, 7, 0, ECX, 10, Ymm},
    {GATECC_CPU_AVX512VNNI, 7, 0, ECX, 11, Zmm},
    {GATECC_CPU_AVX512BITALG, 7, 0, ECX, 12, Zmm},
    {GATECC_CPU_AVX512VPOPCNTDQ, 7, 0, ECX, 14, Zmm},
    {GATECC_CPU_AVX512VP2INTERSECT, 7, 0, EDX, 8, Zmm},
    {GATECC_CPU_AMXBF16, 7, 0, EDX, 22, Tile},
    {GATECC_CPU_AVX512FP16, 7, 0, EDX, 23, Zmm},
    {GATECC_CPU_AMXTILE, 7, 0, EDX, 24, Tile},
    {GATECC_CPU_AVXVNNI, 7, 1, EAX, 4, Ymm},
    {GATECC_CPU_AVX512BF16, 7, 1, EAX, 5, Zmm},
    {GATECC_CPU_AVXIFMA, 7, 1, EAX, 23, Ymm},
    {GATECC_CPU_AVXVNNIINT8, 7, 1, EDX, 4, Ymm},
    {GATECC_CPU_AVXNECONVERT, 7, 1, EDX, 5, Ymm},
    {GATECC_CPU_AVXVNNIINT16, 7, 1, EDX, 10, Ymm},
    {GATECC_CPU_SAHF, 0x80000001, 0, ECX, 0, None},
    {GATECC_CPU_LZCNT, 0x80000001, 0, ECX, 5, None},
    {GATECC_CPU_SSE4A, 0x80000001, 0, ECX, 6, None},
    {GATECC_CPU_XOP, 0x80000001, 0, ECX, 11, Ymm},
    {GATECC_CPU_FMA4, 0x80000001, 0, ECX, 16, Ymm},
    {GATECC_CPU_TBM, 0x80000001, 0, ECX, 21, None},
};

// All four registers of a leaf, zero where the CPU does not have it.
void queryLeaf(uint32_t leaf, uint32_t subleaf, uint32_t (&out)[4]) {
  out[0] = out[1] = out[2] = out[3] = 0;
  uint32_t a, b, c, d;
  __cpuid(leaf & 0x80000000u, a, b, c, d);
  if (a < leaf)
    return;
  if (subleaf) {
    __cpuid_count(leaf, 0, a, b, c, d);
    if (a < subleaf)
      return;
  }
  __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

// Which register files the system saves: XCR0.
State enabledState() {
  uint32_t leaf1[4];
  queryLeaf(1, 0, leaf1);
  if (!(leaf1[ECX] & (1u << 27))) // OSXSAVE
    return None;
  uint32_t low, high;
  __asm__ volatile(".byte 0x0f, 0x01, 0xd0" // xgetbv
                   : "=a"(low), "=d"(high)
                   : "c"(0));
  if ((low & 0x600e6) == 0x600e6)
    return Tile;
  if ((low & 0xe6) == 0xe6)
    return Zmm;
  return (low & 0x06) == 0x06 ? Ymm : None;
}

// The system saves tile registers, which are large, only for a process that has
// asked for it, once for all of its threads. It may refuse: then they trap.
bool requestTiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

} // namespace

uint64_t gatecc_runtime::cpuFeatures() {
  State state = enabledState();
  uint64_t features = 0;
  uint32_t leaf = 0, subleaf = 0, registers[4] = {0, 0, 0, 0};
  for (const Source &s : sources) {
    if (s.leaf != leaf || s.subleaf != subleaf) {
      leaf = s.leaf;
      subleaf = s.subleaf;
      queryLeaf(leaf, subleaf, registers);
    }
    if (state >= s.state && (registers[s.reg] >> s.bit & 1))
      features |= s.feature;
  }
  return features;
}

const gatecc_program_target *
gatecc_runtime::chooseTarget(const gatecc_program &program, uint64_t features) {
  const gatecc_program_target *best = nullptr;
  for (int32_t i = 0; i < program.num_targets; ++i) {
    const gatecc_program_target &t = program.targets[i];
    if ((t.required_features & ~features) == 0 &&
        (!best || t.rank > best->rank))
      best = &t;
  }
  return best;
}

const gatecc_program_target *
gatecc_runtime::findTarget(const gatecc_program &program) {
  constexpr uint64_t kTiles = GATECC_CPU_AMXTILE | GATECC_CPU_AMXBF16;
  uint64_t features = cpuFeatures();
  const gatecc_program_target *target = chooseTarget(program, features);
  if (target && (target->required_features & kTiles) && !requestTiles())
    target = chooseTarget(program, features & ~kTiles);
  return target;
}

const char *gatecc_runtime::cpuFeatureName(int bit) {
  switch (bit) {
#define GATECC_CPU_CASE(BIT, NAME, TEXT)                                       \
  case BIT:                                                                    \
    return TEXT;
    GATECC_CPU_FEATURES(GATECC_CPU_CASE)
#undef GATECC_CPU_CASE
  default:
    return nullptr;
  }
}
