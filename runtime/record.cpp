// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What compiled code records of its decisions. Counts are added: the arrays
// start at zero each run, and a site in a loop is recorded more than once.
#include "kernels.h"

extern "C" void gatecc_record_plan(const gatecc_frame *f, int64_t site,
                                   int64_t first, const int32_t *offsets,
                                   int64_t groups, int64_t rows) {
  if (!f->site_rows)
    return;
  f->site_rows[site] += rows;
  for (int64_t g = 0; g < groups; ++g)
    f->site_groups[first + g] += offsets[g + 1] - offsets[g];
}

extern "C" void gatecc_record_choices(const gatecc_frame *f, int64_t site,
                                      int64_t first, const int64_t *ids,
                                      int64_t k, int64_t groups, int64_t rows) {
  if (!f->site_rows)
    return;
  f->site_rows[site] += rows;
  for (int64_t c = 0; c < rows * k; ++c) {
    uint64_t group = static_cast<uint64_t>(ids[c]);
    if (group < static_cast<uint64_t>(groups))
      ++f->site_groups[first + group];
  }
}

extern "C" void gatecc_record_exit(const gatecc_frame *f, int64_t site,
                                   int64_t first, int64_t level,
                                   const int32_t *offsets, int64_t rows) {
  if (!f->site_rows)
    return;
  int64_t live = offsets[1], leaving = offsets[2] - offsets[1];
  if (level == 0)
    f->site_rows[site] += rows;
  else
    f->site_groups[first + level] -= live + leaving; // they came from above
  f->site_groups[first + level] += leaving;
  f->site_groups[first + level + 1] += live;
}

extern "C" void gatecc_record_halt(const gatecc_frame *f, int64_t site,
                                   int64_t first, int64_t step,
                                   const int32_t *offsets, int64_t rows) {
  if (!f->site_rows)
    return;
  constexpr int64_t last = GATECC_DYNAMIC_GROUPS - 1;
  int64_t running = offsets[1];
  if (step == 0)
    f->site_rows[site] += rows;
  else // they did not stop after the step before
    f->site_groups[first + (step - 1 < last ? step - 1 : last)] -= running;
  f->site_groups[first + (step < last ? step : last)] += running;
}
