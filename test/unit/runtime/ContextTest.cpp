// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C interface on a hand-written program: metadata, runs, every mistake of a
// caller, failures of compiled code, statistics, outputs that the context owns.

#include "FakeProgram.h"
#include "gatecc/runtime.h"

#include <gtest/gtest.h>

#include <xmmintrin.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

// A sanitizer's allocator, too, says no to what is too much.
extern "C" const char *__asan_default_options() {
  return "allocator_may_return_null=1";
}
extern "C" const char *__tsan_default_options() {
  return "allocator_may_return_null=1";
}

namespace {
const gatecc_library *library() {
  return gatecc_get_library(GATECC_ABI_VERSION);
}

struct Tensor {
  std::vector<int64_t> shape;
  DLTensor tensor = {};
  Tensor(void *data, uint8_t code, uint8_t bits, std::vector<int64_t> extents)
      : shape(std::move(extents)) {
    tensor.data = data;
    tensor.device.device_type = kDLCPU;
    tensor.ndim = int32_t(shape.size());
    tensor.dtype = {code, bits, 1};
    tensor.shape = shape.data();
  }
};

class Context : public testing::TestWithParam<int> {
protected:
  void SetUp() override {
    fakeMode = FakeNormal;
    fakeReached = fakeStarted = 0;
    gatecc_options options = {};
    options.struct_size = sizeof options;
    options.num_threads = GetParam();
    ASSERT_EQ(library()->create(&options, &context), GATECC_OK);
  }
  void TearDown() override {
    library()->destroy(context);
    fakeMode = FakeNormal;
  }

  // Runs on a batch, with outputs that the context owns.
  gatecc_status run(int64_t batch) {
    x.assign(batch * 4, 0.5f);
    mask.assign(batch * 3 * 3, 1);
    Tensor tx(x.data(), kDLFloat, 32, {batch, 4});
    Tensor tm(mask.data(), kDLBool, 8, {batch * 3, 3});
    gatecc_named_tensor in[] = {{"mask", tm.tensor}, {"x", tx.tensor}};
    y = {"y", {}};
    count = {"count", {}};
    gatecc_named_tensor out[] = {count, y};
    gatecc_status status = library()->run(context, in, 2, out, 2);
    count = out[0];
    y = out[1];
    return status;
  }

  // Runs with changed arguments and expects a refusal that says `text`.
  void refuse(const gatecc_named_tensor *in, int32_t nIn,
              gatecc_named_tensor *out, int32_t nOut, const char *text) {
    EXPECT_EQ(library()->run(context, in, nIn, out, nOut),
              GATECC_INVALID_ARGUMENT);
    EXPECT_NE(std::string(library()->error_message(context)).find(text),
              std::string::npos)
        << library()->error_message(context);
    EXPECT_EQ(fakeStarted, 0);
  }

  gatecc_context *context = nullptr;
  std::vector<float> x;
  std::vector<unsigned char> mask;
  gatecc_named_tensor y, count;
};
INSTANTIATE_TEST_SUITE_P(Threads, Context, testing::Values(1, 2, 3));
} // namespace

TEST(Library, Metadata) {
  EXPECT_EQ(gatecc_get_library(0), nullptr);
  EXPECT_EQ(gatecc_get_library(2), nullptr);
  const gatecc_library &l = *library();
  EXPECT_EQ(library(), &l);
  EXPECT_EQ(l.struct_size, sizeof l);
  EXPECT_EQ(l.abi_version, GATECC_ABI_VERSION);
  EXPECT_STREQ(l.model_name, "fake");
  EXPECT_EQ(l.weight_bytes, 16u);
  EXPECT_EQ(l.weights_file, nullptr);
  ASSERT_EQ(l.num_inputs, 2);
  EXPECT_STREQ(l.inputs[0].name, "x");
  EXPECT_EQ(l.inputs[0].shape[0].extent, -1);
  EXPECT_STREQ(l.inputs[0].shape[0].symbol, "B");
  EXPECT_EQ(l.inputs[0].shape[1].extent, 4);
  EXPECT_EQ(l.inputs[0].shape[1].symbol, nullptr);
  EXPECT_STREQ(l.inputs[1].shape[0].symbol, "B*S");
  EXPECT_EQ(l.inputs[1].dtype.code, kDLBool);
  EXPECT_STREQ(l.outputs[1].shape[0].symbol, "2*B");
  EXPECT_STREQ(l.symbols[1], "S");
  EXPECT_STREQ(l.sites[0].kind, "experts");
  EXPECT_EQ(l.sites[1].num_groups, -1);
  EXPECT_STREQ(l.targets[0].features, "");
  EXPECT_EQ(l.supported(), GATECC_OK);
}

TEST(Library, Memory) {
  gatecc_memory memory = {};
  memory.struct_size = sizeof memory;
  gatecc_binding bindings[] = {{"S", 3}, {"B", 10}};
  ASSERT_EQ(library()->memory(bindings, 2, &memory), GATECC_OK);
  EXPECT_EQ(memory.arena_bytes, 160);
  EXPECT_EQ(memory.input_bytes, 160 + 90);
  EXPECT_EQ(memory.output_bytes, 160 + 80);
  EXPECT_EQ(library()->memory(bindings, 1, &memory), GATECC_INVALID_ARGUMENT);
  bindings[0].symbol = "B";
  EXPECT_EQ(library()->memory(bindings, 2, &memory), GATECC_INVALID_ARGUMENT);
  bindings[0] = {"S", INT64_MAX};
  EXPECT_EQ(library()->memory(bindings, 2, &memory), GATECC_OUT_OF_MEMORY);
  EXPECT_EQ(library()->memory(bindings, 2, nullptr), GATECC_INVALID_ARGUMENT);
}

TEST(Library, BadOptions) {
  gatecc_context *c = reinterpret_cast<gatecc_context *>(8);
  char message[100] = "";
  gatecc_options options = {};
  options.struct_size = sizeof options;
  options.error_message = message;
  options.error_message_bytes = sizeof message;
  options.num_threads = -1;
  EXPECT_EQ(library()->create(&options, &c), GATECC_INVALID_ARGUMENT);
  EXPECT_EQ(c, nullptr);
  EXPECT_NE(std::string(message).find("num_threads is -1"), std::string::npos);
  options.num_threads = 1;
  options.allocator.release = [](void *, void *) {};
  EXPECT_EQ(library()->create(&options, &c), GATECC_INVALID_ARGUMENT);
  options.struct_size = 0;
  EXPECT_EQ(library()->create(&options, &c), GATECC_INVALID_ARGUMENT);
  EXPECT_EQ(library()->create(nullptr, nullptr), GATECC_INVALID_ARGUMENT);
  library()->destroy(nullptr);
  library()->cancel(nullptr);
  EXPECT_NE(library()->error_message(nullptr), nullptr);
  EXPECT_EQ(library()->run(nullptr, nullptr, 0, nullptr, 0),
            GATECC_INVALID_ARGUMENT);
}

TEST_P(Context, RunsAndOwnsOutputs) {
  for (int64_t batch : {5, 0, 1, 300, 2}) {
    ASSERT_EQ(run(batch), GATECC_OK) << library()->error_message(context);
    ASSERT_EQ(y.tensor.ndim, 2);
    EXPECT_EQ(y.tensor.shape[0], batch);
    EXPECT_EQ(y.tensor.shape[1], 4);
    EXPECT_EQ(y.tensor.strides, nullptr);
    EXPECT_EQ(count.tensor.shape[0], 2 * batch);
    EXPECT_EQ(count.tensor.dtype.bits, 32);
    ASSERT_NE(y.tensor.data, nullptr);
    for (int64_t i = 0; i < batch * 4; ++i)
      ASSERT_EQ(static_cast<float *>(y.tensor.data)[i], 0.5f * (i % 4 + 1));
    for (int64_t i = 0; i < batch * 2; ++i)
      ASSERT_EQ(static_cast<int32_t *>(count.tensor.data)[i], 7);
    EXPECT_STREQ(library()->error_message(context), "");
  }
}

TEST_P(Context, CallersBuffersAndFewerOutputs) {
  std::vector<float> in = {9, 1, 2, 3, 4, 5, 6, 7, 8}, result(8);
  Tensor tx(in.data(), kDLFloat, 32, {2, 4});
  tx.tensor.byte_offset = 4;
  int64_t strides[] = {4, 1};
  tx.tensor.strides = strides;
  Tensor tm(nullptr, kDLBool, 8, {0, 0}); // S = 0: no elements
  Tensor ty(result.data(), kDLFloat, 32, {2, 4});
  gatecc_named_tensor inputs[] = {{"x", tx.tensor}, {"mask", tm.tensor}};
  gatecc_named_tensor out = {"y", ty.tensor};
  ASSERT_EQ(library()->run(context, inputs, 2, &out, 1), GATECC_OK)
      << library()->error_message(context);
  EXPECT_EQ(result, (std::vector<float>{1, 4, 9, 16, 5, 12, 21, 32}));
  ASSERT_EQ(library()->run(context, inputs, 2, nullptr, 0), GATECC_OK);
}

TEST_P(Context, RefusesWrongArguments) {
  alignas(8) float data[64] = {};
  unsigned char bits[64] = {};
  Tensor tx(data, kDLFloat, 32, {2, 4}), tm(bits, kDLBool, 8, {2, 1});
  gatecc_named_tensor good[] = {{"x", tx.tensor}, {"mask", tm.tensor}};
  auto with = [&](auto change, const char *text) {
    gatecc_named_tensor in[] = {good[0], good[1]};
    std::vector<int64_t> shape = tx.shape;
    in[0].tensor.shape = shape.data();
    change(in[0]);
    refuse(in, 2, nullptr, 0, text);
  };
  using T = gatecc_named_tensor &;
  with([](T t) { t.name = "z"; }, "the model has no input 'z'");
  with([](T t) { t.name = nullptr; }, "no input");
  with(
      [](T t) {
        t.name = "mask";
        t.tensor.dtype = {kDLBool, 8, 1};
        t.tensor.data = &t;
      },
      "input 'mask' is given twice");
  with([](T t) { t.tensor.dtype.bits = 64; },
       "input 'x': float64 given, float32 is needed");
  with([](T t) { t.tensor.dtype.code = kDLInt; }, "int32 given");
  with([](T t) { t.tensor.dtype.lanes = 4; }, "in vectors");
  with([](T t) { t.tensor.ndim = 1; }, "input 'x': rank 1 given, 2 is needed");
  with([](T t) { t.tensor.shape = nullptr; }, "shape is NULL");
  with([](T t) { t.tensor.shape[0] = -2; }, "is negative");
  with([](T t) { t.tensor.shape[1] = 5; }, "dimension 1 is 5, 4 is needed");
  with([](T t) { t.tensor.shape[0] = 3; }, "B*S");
  with([](T t) { t.tensor.data = nullptr; }, "data pointer is NULL");
  with([](T t) { t.tensor.byte_offset = 2; }, "not aligned");
  with([](T t) { t.tensor.shape[0] = INT64_MAX; }, "too large");
  with([](T t) { t.tensor.device.device_type = kDLCUDA; }, "memory of the CPU");
  static int64_t strides[] = {1, 2};
  with([](T t) { t.tensor.strides = strides; },
       "input 'x': the tensor is not contiguous");
  refuse(good, 1, nullptr, 0, "input 'mask' is not given");
  refuse(nullptr, 2, nullptr, 0, "NULL");
  refuse(good, -1, nullptr, 0, "NULL");

  Tensor ty(data + 32, kDLFloat, 32, {2, 4}), bad(data, kDLFloat, 32, {3, 4});
  gatecc_named_tensor out[] = {{"y", bad.tensor}, {"y", ty.tensor}};
  refuse(good, 2, out, 1, "output 'y': dimension 0 is 3, 2 is needed");
  refuse(good, 2, nullptr, 1, "NULL");
  out[0] = {"y", ty.tensor};
  refuse(good, 2, out, 2, "output 'y' is given twice");
  out[0].name = "q";
  refuse(good, 2, out, 1, "the model has no output 'q'");
  // And after all that it still works.
  EXPECT_EQ(run(3), GATECC_OK);
}

TEST_P(Context, FailureInATaskEndsTheRun) {
  fakeMode = FakeFailInTask;
  EXPECT_EQ(run(1000), GATECC_RUNTIME);
  EXPECT_STREQ(library()->error_message(context),
               "node 'g' (Gather): index 9 is out of range");
  EXPECT_EQ(fakeReached, 0);
  fakeMode = FakeReturnStatus;
  EXPECT_EQ(run(4), GATECC_RUNTIME);
  EXPECT_NE(std::string(library()->error_message(context)).find("status 6"),
            std::string::npos);
  fakeMode = FakeNormal;
  EXPECT_EQ(run(4), GATECC_OK);
}

TEST_P(Context, GrowableRegion) {
  for (int i = 0; i < 3; ++i) {
    fakeMode = FakeAllocate;
    EXPECT_EQ(run(600), GATECC_OK) << library()->error_message(context);
    EXPECT_EQ(static_cast<float *>(y.tensor.data)[4 * 599 + 3], 2.0f);
    fakeMode = FakeAllocateTooMuch;
    EXPECT_EQ(run(10), GATECC_OUT_OF_MEMORY);
  }
}

TEST_P(Context, CancelFromAnotherThread) {
  fakeMode = FakeBlock;
  library()->cancel(context); // before a run: no effect on it
  std::thread canceller([&] {
    while (__atomic_load_n(&fakeStarted, __ATOMIC_RELAXED) < 3)
      std::this_thread::yield();
    // A second run on a busy context is refused.
    EXPECT_EQ(library()->run(context, nullptr, 0, nullptr, 0),
              GATECC_INVALID_ARGUMENT);
    library()->cancel(context);
  });
  EXPECT_EQ(run(100000), GATECC_CANCELLED);
  canceller.join();
  EXPECT_STREQ(library()->error_message(context), "the run was cancelled");
  EXPECT_EQ(fakeReached, 0);
  fakeMode = FakeNormal;
  EXPECT_EQ(run(4), GATECC_OK);
}

TEST_P(Context, Statistics) {
  int64_t rows;
  const int64_t *groups;
  int32_t n;
  double skipped;
  ASSERT_EQ(run(6), GATECC_OK);
  EXPECT_EQ(library()->statistics(context, 0, &rows, &groups, &n, &skipped),
            GATECC_INVALID_ARGUMENT);
  library()->enable_statistics(context, 1);
  for (int i = 0; i < 2; ++i) { // of the last run, not a sum
    ASSERT_EQ(run(6), GATECC_OK);
    ASSERT_EQ(library()->statistics(context, 0, &rows, &groups, &n, &skipped),
              GATECC_OK);
    EXPECT_EQ(rows, 6);
    ASSERT_EQ(n, 4);
    EXPECT_EQ(groups[0], 6);
    EXPECT_EQ(groups[1], 0);
    EXPECT_EQ(skipped, 0.5);
    ASSERT_EQ(library()->statistics(context, 1, &rows, &groups, &n, &skipped),
              GATECC_OK);
    ASSERT_EQ(n, 2);
    EXPECT_EQ(groups[1], 6);
    EXPECT_EQ(skipped, 0.0);
  }
  ASSERT_EQ(run(0), GATECC_OK);
  ASSERT_EQ(
      library()->statistics(context, 0, nullptr, nullptr, nullptr, &skipped),
      GATECC_OK);
  EXPECT_EQ(skipped, 0.0);
  EXPECT_EQ(library()->statistics(context, 2, &rows, &groups, &n, &skipped),
            GATECC_INVALID_ARGUMENT);
  EXPECT_EQ(library()->statistics(context, -1, &rows, &groups, &n, &skipped),
            GATECC_INVALID_ARGUMENT);
}

TEST_P(Context, KeepsTheCallersFloatingPointMode) {
  unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); // flush denormals, as some hosts do
  ASSERT_EQ(run(4), GATECC_OK);
  EXPECT_EQ(_mm_getcsr() & 0x8040u, 0x8040u);
  _mm_setcsr(mode);
}

TEST(Library, AllocatorOfTheHost) {
  struct Counts {
    std::atomic<int> taken{0}, released{0};
    bool fail = false;
  } counts;
  gatecc_options options = {};
  options.struct_size = sizeof options;
  options.num_threads = 2;
  options.allocator.user = &counts;
  options.allocator.allocate = [](void *user, size_t bytes, size_t alignment) {
    Counts &c = *static_cast<Counts *>(user);
    if (c.fail)
      return static_cast<void *>(nullptr);
    ++c.taken;
    return std::aligned_alloc(alignment, bytes);
  };
  options.allocator.release = [](void *user, void *p) {
    ++static_cast<Counts *>(user)->released;
    std::free(p);
  };
  gatecc_context *c;
  ASSERT_EQ(library()->create(&options, &c), GATECC_OK);
  float data[8] = {};
  Tensor tx(data, kDLFloat, 32, {2, 4}), tm(data, kDLBool, 8, {0, 0});
  gatecc_named_tensor in[] = {{"x", tx.tensor}, {"mask", tm.tensor}};
  counts.fail = true;
  EXPECT_EQ(library()->run(c, in, 2, nullptr, 0), GATECC_OUT_OF_MEMORY);
  EXPECT_NE(std::string(library()->error_message(c)), "");
  counts.fail = false;
  fakeMode = FakeAllocate;
  EXPECT_EQ(library()->run(c, in, 2, nullptr, 0), GATECC_OK);
  fakeMode = FakeNormal;
  library()->destroy(c);
  EXPECT_GT(counts.taken, 2);
  EXPECT_EQ(counts.taken, counts.released);
}

TEST(Library, ContextsInParallel) {
  fakeMode = FakeNormal;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      gatecc_options options = {};
      options.struct_size = sizeof options;
      options.num_threads = 1 + t % 2;
      for (int i = 0; i < 20; ++i) {
        gatecc_context *c;
        const gatecc_library *l = gatecc_get_library(GATECC_ABI_VERSION);
        ASSERT_EQ(l->create(&options, &c), GATECC_OK);
        std::vector<float> data(40, float(t));
        Tensor tx(data.data(), kDLFloat, 32, {10, 4});
        Tensor tm(nullptr, kDLBool, 8, {0, 0});
        gatecc_named_tensor in[] = {{"x", tx.tensor}, {"mask", tm.tensor}};
        gatecc_named_tensor out = {"y", {}};
        ASSERT_EQ(l->run(c, in, 2, &out, 1), GATECC_OK);
        EXPECT_EQ(static_cast<float *>(out.tensor.data)[39], 4.0f * t);
        l->destroy(c);
      }
    });
  for (std::thread &t : threads)
    t.join();
}
