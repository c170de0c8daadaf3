// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The functions of the runtime that compiled code calls. Internal to a library
// (hidden symbols). All take raw pointers, allocate nothing (but
// gatecc_allocate and gatecc_allocate_output) and give results that depend on
// nothing but their arguments: not on the number of threads, nor on the other
// rows of a batch.

#ifndef GATECC_RUNTIME_KERNELS_H
#define GATECC_RUNTIME_KERNELS_H

#include "program.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(hidden)

// --- Tasks, memory, errors (pool.cpp, context.cpp) --------------------------

// Runs task(closure, i) for every i in [0, n), claimed dynamically; returns
// when all are done. Inline on the caller when n is 1, with one thread, and
// from inside a task. When the run is cancelled or has failed, the outermost
// call does not return: the run ends there (longjmp to the runtime), so that
// compiled code never reads what skipped tasks did not write.
void gatecc_parallel_for(const gatecc_frame *f, int64_t n,
                         void (*task)(void *closure, int64_t index),
                         void *closure);

// Ends the run as gatecc_parallel_for does if it is cancelled or has failed;
// for loops that may have no tasks. Not from inside a task.
void gatecc_check_cancelled(const gatecc_frame *f);

// Memory, 64-aligned, until the run ends. May be called from tasks. NULL when
// there is none; the run's status is then GATECC_OUT_OF_MEMORY.
void *gatecc_allocate(const gatecc_frame *f, int64_t bytes);

// Records why the run fails; the first call counts. May be called from tasks.
// The message is copied.
void gatecc_fail(const gatecc_frame *f, int32_t status, const char *message);

// The same as gatecc_allocate; without memory the run ends here, as it does in
// gatecc_check_cancelled. Not from inside a task.
void *gatecc_take(const gatecc_frame *f, int64_t bytes);

// Memory of the context for output `index`, whose shape has become known. NULL
// when there is none, as gatecc_allocate.
void *gatecc_allocate_output(const gatecc_frame *f, int64_t index,
                             const int64_t *shape);

// The same; without memory the run ends here. Not from inside a task.
void *gatecc_take_output(const gatecc_frame *f, int64_t index,
                         const int64_t *shape);

// Ends the run with the status GATECC_RUNTIME and the message, in which {0} and
// {1} stand for the two numbers. Not from inside a task.
void gatecc_fail_check(const gatecc_frame *f, const char *message,
                       int64_t first, int64_t second);

// --- Selection (topk.cpp, route.cpp) ----------------------------------------

// The k best of each row of n contiguous elements, k <= n: best first, ties by
// lower index, NaN after every number (for largest and smallest alike), NaNs by
// index, -0 equal to +0. values and indices are [rows, k].
void gatecc_topk_f32(const float *x, int64_t rows, int64_t n, int64_t k,
                     int32_t largest, float *values, int64_t *indices);
void gatecc_topk_f64(const double *x, int64_t rows, int64_t n, int64_t k,
                     int32_t largest, double *values, int64_t *indices);
void gatecc_topk_i32(const int32_t *x, int64_t rows, int64_t n, int64_t k,
                     int32_t largest, int32_t *values, int64_t *indices);
void gatecc_topk_i64(const int64_t *x, int64_t rows, int64_t n, int64_t k,
                     int32_t largest, int64_t *values, int64_t *indices);

enum {
  GATECC_SCORE_SOFTMAX = 0,          // over all experts
  GATECC_SCORE_SOFTMAX_SELECTED = 1, // over the k selected; sums to 1 already,
                                     // so that normalize changes nothing
  GATECC_SCORE_SIGMOID = 2,
  GATECC_SCORE_NONE = 3 // the logit itself
};

// Per row, the k largest of the logits (k <= experts; ties by lower index, or
// with ties_high by higher index; NaN after every number), and their weights:
//   w = score(logit);  normalize: w /= sum of the k weights, or w = 0 where
//   that sum is 0;  w *= scale;  drop_nonpositive: if w <= 0, the route is
//   dropped (id -1, weight 0).
// A NaN weight is not <= 0 and stays. Softmax is as ONNX's: a NaN or +Inf among
// its operands makes every weight of the row NaN. ids, weights: [rows, k].
void gatecc_route_f32(const float *logits, int64_t rows, int64_t experts,
                      int64_t k, int32_t score, int32_t normalize, float scale,
                      int32_t drop_nonpositive, int32_t ties_high, int32_t *ids,
                      float *weights);
// The same with w = mixing[row, id] in place of a score: the logits only
// choose.
void gatecc_route_mixed_f32(const float *logits, const float *mixing,
                            int64_t rows, int64_t experts, int64_t k,
                            int32_t normalize, float scale,
                            int32_t drop_nonpositive, int32_t ties_high,
                            int32_t *ids, float *weights);

// The same, normalised by max(sum of the k weights + sum_offset, sum_min),
// which may be 0: the weights are then NaN or infinite. score: of what mixing
// holds, SIGMOID or NONE.
void gatecc_route_divided_f32(const float *logits, const float *mixing,
                              int64_t rows, int64_t experts, int64_t k,
                              int32_t score, float sum_offset, float sum_min,
                              float scale, int32_t drop_nonpositive,
                              int32_t ties_high, int32_t *ids, float *weights);

// --- Plans (plan.cpp) -------------------------------------------------------

// Counting sort of the choices ids[rows, k] into slots, ordered by group, then
// row, then choice. ids outside [0, groups) are dropped. Slots of group g are
// offsets[g] .. offsets[g + 1] - 1; source[s] is the row of slot s, weight[s]
// its slot_weight, inverse[t * k + j] the slot of a choice or -1. Entries of
// source and weight from offsets[groups] on are not written.
// rows * k < 2^31.
void gatecc_sort_slots(const int32_t *ids, const float *slot_weight,
                       int64_t rows, int64_t k, int64_t groups,
                       int32_t *offsets, int32_t *source, float *weight,
                       int32_t *inverse);

// y[i] = x[source[i]] and x[source[i]] = y[i], for rows of row_bytes.
void gatecc_gather_rows(const void *x, int64_t row_bytes, const int32_t *source,
                        int64_t n, void *y);
void gatecc_scatter_rows(const void *y, int64_t row_bytes,
                         const int32_t *source, int64_t n, void *x);

// out[t] = sum over j, in choice order and from +0, of
// weight[t, j] * slots[inverse[t, j]], without the choices whose slot is -1.
// weight NULL: without factors. Parallel over rows.
void gatecc_combine_f32(const gatecc_frame *f, const float *slots,
                        int64_t width, const int32_t *inverse,
                        const float *weight, int64_t rows, int64_t k,
                        float *out);

// Rows [rows, k] as integers, in blocks of `block` (a multiple of 8, at most
// 128), the last of which may be short. For block j of a row
//   scale = max |x| / 127,  q = x / scale rounded to nearest, ties to even,
// in [-127, 127]; all 0 where the scale is; a block with a NaN or an infinity
// has the scale NaN. scales [rows, J]; q, for each row and block: the integers,
// 0 beyond k, and twice their sum in 16 bits. Parallel over rows.
void gatecc_quantize_rows_i16(const gatecc_frame *f, const float *x,
                              int64_t rows, int64_t k, int64_t block,
                              int16_t *q, float *scales);
void gatecc_quantize_rows_i8(const gatecc_frame *f, const float *x,
                             int64_t rows, int64_t k, int64_t block, int8_t *q,
                             float *scales);

// Row source[r] of x (r without a source), of k elements, rounded to bf16, to
// nearest, ties to even, for each r < rows; 0 from k to `stride`, which is at
// least k. Parallel over rows.
void gatecc_round_rows_bf16(const gatecc_frame *f, const float *x,
                            const int32_t *source, int64_t rows, int64_t k,
                            int64_t stride, uint16_t *out);

// --- Indexing by data (indexing.cpp) -----------------------------------------

// How many of n bools are true, and the places of the first `count` of them.
int64_t gatecc_count_true(const uint8_t *x, int64_t n);
void gatecc_find_true(const uint8_t *x, int64_t n, int64_t count,
                      int64_t *places);

// out[i] = data[places[i]] and data[places[i]] = updates[i], one after another,
// for `count` slices of data. A place outside [0, count) reads as zeros, and
// is skipped when written.
void gatecc_gather_slices(const void *data, int64_t slice_bytes, int64_t count,
                          const int64_t *places, int64_t n, void *out);
void gatecc_scatter_slices(const void *updates, int64_t slice_bytes,
                           int64_t count, const int64_t *places, int64_t n,
                           void *data);

enum { // as gate.reduction
  GATECC_REDUCE_ADD = 1,
  GATECC_REDUCE_MUL = 2,
  GATECC_REDUCE_MAX = 3,
  GATECC_REDUCE_MIN = 4
};

// data[places[i]] = f(data[places[i]], updates[i]) for slices of `slice`
// elements; a maximum or minimum with NaN is NaN.
void gatecc_reduce_slices_f32(int32_t reduction, const float *updates,
                              int64_t slice, int64_t count,
                              const int64_t *places, int64_t n, float *data);
void gatecc_reduce_slices_f64(int32_t reduction, const double *updates,
                              int64_t slice, int64_t count,
                              const int64_t *places, int64_t n, double *data);
void gatecc_reduce_slices_i32(int32_t reduction, const int32_t *updates,
                              int64_t slice, int64_t count,
                              const int64_t *places, int64_t n, int32_t *data);
void gatecc_reduce_slices_i64(int32_t reduction, const int64_t *updates,
                              int64_t slice, int64_t count,
                              const int64_t *places, int64_t n, int64_t *data);

// Running sums along the middle axis of [outer, n, inner].
void gatecc_cumsum_f32(const float *x, int64_t outer, int64_t n, int64_t inner,
                       int32_t exclusive, int32_t reverse, float *out);
void gatecc_cumsum_f64(const double *x, int64_t outer, int64_t n, int64_t inner,
                       int32_t exclusive, int32_t reverse, double *out);
void gatecc_cumsum_i32(const int32_t *x, int64_t outer, int64_t n,
                       int64_t inner, int32_t exclusive, int32_t reverse,
                       int32_t *out);
void gatecc_cumsum_i64(const int64_t *x, int64_t outer, int64_t n,
                       int64_t inner, int32_t exclusive, int32_t reverse,
                       int64_t *out);

// Task lists: first[g] is the number of row blocks (of at most `block` slots)
// of the groups before g; returns first[groups], the number of all.
int64_t gatecc_group_tasks(const int32_t *offsets, int64_t groups,
                           int64_t block, int32_t *first);
// The group that task belongs to: first[g] <= task < first[g + 1].
int64_t gatecc_find_group(const int32_t *first, int64_t groups, int64_t task);

// Statistics of a plan's site, if they are on: rows, and the slots of each of
// `groups` groups, counted from entry `first` of the flattened groups.
void gatecc_record_plan(const gatecc_frame *f, int64_t site, int64_t first,
                        const int32_t *offsets, int64_t groups, int64_t rows);
// The same where slots have not been sorted: of the choices ids[rows, k], those
// outside [0, groups) are none.
void gatecc_record_choices(const gatecc_frame *f, int64_t site, int64_t first,
                           const int64_t *ids, int64_t k, int64_t groups,
                           int64_t rows);
// The same of level `level` of an exit network, whose plan has two groups, the
// rows that go on and those that leave here. Rows that go on are counted at the
// last exit until a deeper level says where they left.
void gatecc_record_exit(const gatecc_frame *f, int64_t site, int64_t first,
                        int64_t level, const int32_t *offsets, int64_t rows);

// Records that a loop, in iteration `step` (from 0), runs the rows of group 0
// of a partition in two. Steps from GATECC_DYNAMIC_GROUPS on count as the last.
void gatecc_record_halt(const gatecc_frame *f, int64_t site, int64_t first,
                        int64_t step, const int32_t *offsets, int64_t rows);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif // GATECC_RUNTIME_KERNELS_H
