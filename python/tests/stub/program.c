// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A program as the compiler would emit one, by hand, for the tests of the
// Python package: copies each input to an output; one site counts rows with a
// positive first element.
#include "program.h"

#include <string.h>

static const int32_t batch[] = {0};
static const gatecc_extent one_b[] = {{GATECC_EXTENT_MONOMIAL, 1, 1, batch}};
static const gatecc_extent two_b[] = {{GATECC_EXTENT_MONOMIAL, 2, 1, batch}};
static const gatecc_extent rows[] = {{GATECC_EXTENT_MONOMIAL, 1, 1, batch},
                                     {GATECC_EXTENT_CONSTANT, 4, 0, 0}};
static const gatecc_program_tensor inputs[] = {
    {"in.1", 2, 32, 2, rows},   {"half", 2, 16, 1, one_b},
    {"brain", 4, 16, 1, one_b}, {"flag", 6, 8, 1, one_b},
    {"count", 0, 64, 1, two_b},
};
static const gatecc_program_tensor outputs[] = {
    {"out.1", 2, 32, 2, rows},      {"half_out", 2, 16, 1, one_b},
    {"brain_out", 4, 16, 1, one_b}, {"flag_out", 6, 8, 1, one_b},
    {"count_out", 0, 64, 1, two_b},
};
static const int element_bytes[] = {16, 2, 2, 1, 16}; // per unit of B

static int32_t run(const gatecc_frame *frame) {
  const int64_t b = frame->symbols[0];
  for (int i = 0; i < 5; ++i)
    memcpy(frame->outputs[i], frame->inputs[i], (size_t)(b * element_bytes[i]));
  const float *x = (const float *)frame->inputs[0];
  for (int64_t r = 0; r < b && frame->site_rows; ++r) {
    ++frame->site_rows[0];
    ++frame->site_groups[x[4 * r] > 0 ? 0 : 1];
  }
  return 0;
}

static int64_t arena_bytes(const int64_t *symbols) { return 128 * symbols[0]; }

static const char *const symbols[] = {"B"};
static const double cost[] = {1.0, 2.0};
static const gatecc_program_site sites[] = {{"pick", "exit", 2, cost, 2.0}};
static const gatecc_program_target targets[] = {
    {"x86-64", 0, run, arena_bytes, 0}};
static const unsigned char weights[64];

const gatecc_program gatecc_program_constant = {"0.0-stub",
                                                "stub",
                                                "0123",
                                                0,
                                                5,
                                                5,
                                                1,
                                                1,
                                                1,
                                                inputs,
                                                outputs,
                                                symbols,
                                                sites,
                                                targets,
                                                weights,
                                                "none",
                                                "0000000000000000"};
