// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the compiler emits into a library (one constant, `gatecc_program`) and
// what one run hands to compiled code (gatecc_frame). Internal: the compiler
// and the runtime that is linked into the library are always of one version.

#ifndef GATECC_RUNTIME_PROGRAM_H
#define GATECC_RUNTIME_PROGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Groups that a site has room for when their number is decided at run time.
#define GATECC_DYNAMIC_GROUPS 256

// One run. Compiled code reads it; only the arena and the two statistics
// arrays, which start at zero, are written.
typedef struct gatecc_frame {
  void *context; // gatecc_context *; NULL: everything runs inline
  const unsigned char *weights; // first byte of weight data, 4096-aligned
  unsigned char *arena;         // 64-aligned, arena_bytes(symbols) long
  const int64_t *symbols;       // symbolic dimensions, in metadata order
  void *const *inputs;          // first elements, in metadata order
  void *const *outputs;
  int64_t *site_rows;   // [num_sites], or NULL when statistics are off
  int64_t *site_groups; // groups of all sites, or NULL when off. Site i starts
                        // at the sum over the sites j before it of num_groups,
                        // or of GATECC_DYNAMIC_GROUPS where that is -1
} gatecc_frame;

enum {
  GATECC_EXTENT_CONSTANT = 0,
  GATECC_EXTENT_MONOMIAL = 1,
  GATECC_EXTENT_DECIDED = 2 // by each run; of outputs only
};

typedef struct gatecc_extent {
  int32_t kind;           // constant: coefficient; monomial: the product of
  int64_t coefficient;    // coefficient (>= 1) and of the
  int32_t num_factors;    // symbols that factors holds, each as often as it
  const int32_t *factors; // occurs
} gatecc_extent;

typedef struct gatecc_program_tensor {
  const char *name;
  uint8_t dtype_code; // as DLPack: 0 int, 1 uint, 2 float, 4 bfloat, 6 bool
  uint8_t dtype_bits;
  int32_t rank;
  const gatecc_extent *shape;
} gatecc_program_tensor;

// skipped = rows == 0 ? 0
//         : 1 - sum_i groups[i] * group_cost[i] / (rows * full_cost)
// With num_groups -1 (halt), group_cost is unused: group i costs i + 1, and
// full_cost is the number of the last group that is not empty.
typedef struct gatecc_program_site {
  const char *name;
  const char *kind;
  int32_t num_groups;
  const double *group_cost;
  double full_cost;
} gatecc_program_site;

typedef struct gatecc_program_target {
  const char *cpu;
  uint64_t required_features;           // GATECC_CPU_* bits
  int32_t (*run)(const gatecc_frame *); // 0, or a gatecc_status
  // Bytes of arena for these dimensions; negative when that overflows.
  int64_t (*arena_bytes)(const int64_t *symbols);
  int32_t rank; // of the targets that the CPU can run, the highest is taken
} gatecc_program_target;

typedef struct gatecc_program {
  const char *version, *model_name, *source_hash;
  uint64_t weight_bytes;
  int32_t num_inputs, num_outputs, num_symbols, num_sites, num_targets;
  const gatecc_program_tensor *inputs, *outputs;
  const char *const *symbols;
  const gatecc_program_site *sites;
  const gatecc_program_target *targets;
  const unsigned char *embedded_weights; // NULL when they are in a file
  const char *weights_file;              // base name of that file
  const char *weights_hash;              // 16 hexadecimal digits: XXH64 (seed
                                         // 0) of the weight data
} gatecc_program;

#ifdef __cplusplus
#define GATECC_HIDDEN extern "C" __attribute__((visibility("hidden")))
#else
#define GATECC_HIDDEN extern __attribute__((visibility("hidden")))
#endif
GATECC_HIDDEN const
    gatecc_program gatecc_program_constant __asm__("gatecc_program");

// ---------------------------------------------------------------------------
// A weight file: this header, zeros up to GATECC_WEIGHTS_START, then data_bytes
// of data laid out as an embedded weight section would be. Little-endian.
// ---------------------------------------------------------------------------
#define GATECC_WEIGHTS_MAGIC "GATECCW" // with its final zero: 8 bytes
#define GATECC_WEIGHTS_VERSION 1u
#define GATECC_WEIGHTS_START 4096u

typedef struct gatecc_weights_header {
  char magic[8];
  uint32_t version;
  uint32_t start;      // GATECC_WEIGHTS_START
  uint64_t data_bytes; // == gatecc_program::weight_bytes
  uint64_t hash;       // XXH64 (seed 0) of the data
} gatecc_weights_header;

// ---------------------------------------------------------------------------
// CPU features: the bit of each, and its name in LLVM. A target requires every
// feature of its CPU that is in this list.
// ---------------------------------------------------------------------------
#define GATECC_CPU_FEATURES(X)                                                 \
  X(0, SSE3, "sse3")                                                           \
  X(1, SSSE3, "ssse3")                                                         \
  X(2, SSE4_1, "sse4.1")                                                       \
  X(3, SSE4_2, "sse4.2")                                                       \
  X(4, POPCNT, "popcnt")                                                       \
  X(5, CX16, "cx16")                                                           \
  X(6, SAHF, "sahf")                                                           \
  X(7, LZCNT, "lzcnt")                                                         \
  X(8, MOVBE, "movbe")                                                         \
  X(9, AVX, "avx")                                                             \
  X(10, AVX2, "avx2")                                                          \
  X(11, FMA, "fma")                                                            \
  X(12, F16C, "f16c")                                                          \
  X(13, BMI, "bmi")                                                            \
  X(14, BMI2, "bmi2")                                                          \
  X(15, ADX, "adx")                                                            \
  X(16, AES, "aes")                                                            \
  X(17, PCLMUL, "pclmul")                                                      \
  X(18, SHA, "sha")                                                            \
  X(19, GFNI, "gfni")                                                          \
  X(20, VAES, "vaes")                                                          \
  X(21, VPCLMULQDQ, "vpclmulqdq")                                              \
  X(22, SSE4A, "sse4a")                                                        \
  X(23, XOP, "xop")                                                            \
  X(24, FMA4, "fma4")                                                          \
  X(25, TBM, "tbm")                                                            \
  X(26, AVX512F, "avx512f")                                                    \
  X(27, AVX512BW, "avx512bw")                                                  \
  X(28, AVX512DQ, "avx512dq")                                                  \
  X(29, AVX512VL, "avx512vl")                                                  \
  X(30, AVX512CD, "avx512cd")                                                  \
  X(31, AVX512VNNI, "avx512vnni")                                              \
  X(32, AVX512BF16, "avx512bf16")                                              \
  X(33, AVX512VBMI, "avx512vbmi")                                              \
  X(34, AVX512VBMI2, "avx512vbmi2")                                            \
  X(35, AVX512IFMA, "avx512ifma")                                              \
  X(36, AVX512BITALG, "avx512bitalg")                                          \
  X(37, AVX512VPOPCNTDQ, "avx512vpopcntdq")                                    \
  X(38, AVX512FP16, "avx512fp16")                                              \
  X(39, AVX512VP2INTERSECT, "avx512vp2intersect")                              \
  X(40, AVXVNNI, "avxvnni")                                                    \
  X(41, AVXIFMA, "avxifma")                                                    \
  X(42, AVXVNNIINT8, "avxvnniint8")                                            \
  X(43, AVXVNNIINT16, "avxvnniint16")                                          \
  X(44, AVXNECONVERT, "avxneconvert")                                          \
  X(45, AMXTILE, "amx-tile")                                                   \
  X(46, AMXBF16, "amx-bf16")

#define GATECC_CPU_BIT(BIT, NAME, TEXT)                                        \
  static const uint64_t GATECC_CPU_##NAME = UINT64_C(1) << BIT;
GATECC_CPU_FEATURES(GATECC_CPU_BIT)
#undef GATECC_CPU_BIT

#ifdef __cplusplus
}
#endif

#endif // GATECC_RUNTIME_PROGRAM_H
