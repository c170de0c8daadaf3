// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The pool: every task exactly once, nested calls, many jobs, sleeping workers,
// the host's pool.

#include "context.h"
#include "kernels.h"

#include <gtest/gtest.h>

#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace {
struct Harness {
  gatecc_context context;
  gatecc_frame frame;
  explicit Harness(int threads) {
    std::memset(&context, 0, sizeof context);
    std::memset(&frame, 0, sizeof frame);
    context.pool = gatecc_runtime::createPool(threads - 1);
    frame.context = &context;
  }
  ~Harness() {
    gatecc_runtime::resetRegion(context, false);
    gatecc_runtime::destroyPool(context.pool);
  }
};

struct Counter {
  const gatecc_frame *frame = nullptr;
  std::vector<std::atomic<int>> seen;
  explicit Counter(size_t n) : seen(n) {}
  static void task(void *closure, int64_t i) {
    static_cast<Counter *>(closure)->seen[i].fetch_add(1);
  }
  void expectOnce() {
    for (auto &s : seen)
      ASSERT_EQ(s.load(), 1);
  }
};
} // namespace

class Pool : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, Pool, testing::Values(1, 2, 3, 7));

TEST_P(Pool, EachTaskOnce) {
  Harness h(GetParam());
  for (int n : {0, 1, 2, 3, 10, 1000, 20000}) {
    Counter c(n);
    gatecc_parallel_for(&h.frame, n, Counter::task, &c);
    c.expectOnce();
  }
}

TEST_P(Pool, ManySmallJobs) {
  Harness h(GetParam());
  std::vector<int64_t> sum(8);
  for (int job = 0; job < 20000; ++job)
    gatecc_parallel_for(
        &h.frame, 8,
        [](void *s, int64_t i) {
          (*static_cast<std::vector<int64_t> *>(s))[i] += i;
        },
        &sum);
  for (int64_t i = 0; i < 8; ++i)
    EXPECT_EQ(sum[i], 20000 * i);
}

TEST_P(Pool, WakesSleepers) {
  Harness h(GetParam());
  for (int job = 0; job < 30; ++job) {
    Counter c(64);
    gatecc_parallel_for(&h.frame, 64, Counter::task, &c);
    c.expectOnce();
    std::this_thread::sleep_for(std::chrono::microseconds(job * 20));
  }
}

TEST_P(Pool, ReallyUsesThreads) {
  Harness h(GetParam());
  // Tasks that wait for each other: as many as there are threads.
  struct Meeting {
    std::atomic<int> here{0};
    int all;
  } meeting;
  meeting.all = GetParam();
  gatecc_parallel_for(
      &h.frame, meeting.all,
      [](void *closure, int64_t) {
        Meeting &m = *static_cast<Meeting *>(closure);
        m.here.fetch_add(1);
        while (m.here.load() < m.all)
          std::this_thread::yield();
      },
      &meeting);
  EXPECT_EQ(meeting.here.load(), meeting.all);
}

TEST_P(Pool, NestedRunsInline) {
  Harness h(GetParam());
  Counter c(50 * 20);
  c.frame = &h.frame;
  struct Inner {
    Counter *counter;
    int64_t outer;
  };
  gatecc_parallel_for(
      &h.frame, 50,
      [](void *closure, int64_t i) {
        Inner inner = {static_cast<Counter *>(closure), i};
        gatecc_parallel_for(
            inner.counter->frame, 20,
            [](void *closure, int64_t j) {
              Inner &inner = *static_cast<Inner *>(closure);
              Counter::task(inner.counter, inner.outer * 20 + j);
            },
            &inner);
      },
      &c);
  c.expectOnce();
}

TEST_P(Pool, StopsWhenCancelled) {
  Harness h(GetParam());
  struct State {
    gatecc_context *context;
    std::atomic<int64_t> ran{0};
  } state;
  state.context = &h.context;
  gatecc_parallel_for(
      &h.frame, 1000000,
      [](void *closure, int64_t) {
        State &s = *static_cast<State *>(closure);
        if (s.ran.fetch_add(1) == 100)
          gatecc_runtime::cancelRun(s.context);
      },
      &state);
  EXPECT_GT(state.ran.load(), 100);
  EXPECT_LT(state.ran.load(), 1000000);
}

TEST_P(Pool, RegionFromTasks) {
  Harness h(GetParam());
  struct State {
    gatecc_frame *frame;
    std::vector<unsigned char *> blocks;
  } state{&h.frame, std::vector<unsigned char *>(500)};
  gatecc_parallel_for(
      &h.frame, 500,
      [](void *closure, int64_t i) {
        State &s = *static_cast<State *>(closure);
        int64_t bytes = i * 97 % 20000;
        s.blocks[i] =
            static_cast<unsigned char *>(gatecc_allocate(s.frame, bytes));
        std::memset(s.blocks[i], int(i % 251), bytes);
      },
      &state);
  for (int64_t i = 0; i < 500; ++i) {
    ASSERT_EQ(reinterpret_cast<uintptr_t>(state.blocks[i]) % 64, 0u);
    for (int64_t b = 0; b < i * 97 % 20000; ++b)
      ASSERT_EQ(state.blocks[i][b], i % 251);
  }
}

TEST_P(Pool, CombineGivesTheSameBits) {
  const int64_t rows = 700, k = 2, width = 70;
  std::vector<float> slots(rows * k * width), one(rows * width),
      many(rows * width);
  std::vector<int32_t> inverse(rows * k);
  for (size_t i = 0; i < slots.size(); ++i)
    slots[i] = 1.0f / float(i + 3);
  for (size_t i = 0; i < inverse.size(); ++i)
    inverse[i] = int32_t(i * 13 % inverse.size());
  Harness single(1), h(GetParam());
  gatecc_combine_f32(&single.frame, slots.data(), width, inverse.data(),
                     slots.data(), rows, k, one.data());
  gatecc_combine_f32(&h.frame, slots.data(), width, inverse.data(),
                     slots.data(), rows, k, many.data());
  EXPECT_EQ(0, std::memcmp(one.data(), many.data(), one.size() * 4));
}

TEST(PoolHost, UsesTheHostsPoolOnce) {
  Harness h(1);
  int calls = 0;
  h.context.hostPool.pool = &calls;
  h.context.hostPool.parallel_for =
      [](void *pool, int64_t n, void (*task)(void *, int64_t), void *closure) {
        ++*static_cast<int *>(pool);
        std::thread half([&] {
          for (int64_t i = 0; i < n / 2; ++i)
            task(closure, i);
        });
        for (int64_t i = n; i-- > n / 2;)
          task(closure, i);
        half.join();
      };
  Counter c(101);
  gatecc_parallel_for(&h.frame, 101, Counter::task, &c);
  c.expectOnce();
  EXPECT_EQ(calls, 1);
  Counter one(1);
  gatecc_parallel_for(&h.frame, 1, Counter::task, &one); // inline
  EXPECT_EQ(calls, 1);
}

TEST(PoolLatency, Reported) {
  // Two tasks that wait for each other: the time until both threads are there.
  Harness h(2);
  auto meet = [](void *closure, int64_t) {
    auto &here = *static_cast<std::atomic<int64_t> *>(closure);
    int64_t mine = here.fetch_add(1);
    while (here.load() < (mine | 1) + 1)
      _mm_pause();
  };
  std::atomic<int64_t> here{0};
  const int jobs = 5000;
  std::vector<double> times;
  for (int i = 0; i < jobs; ++i) {
    auto begin = std::chrono::steady_clock::now();
    gatecc_parallel_for(&h.frame, 2, meet, &here);
    std::chrono::duration<double, std::micro> t =
        std::chrono::steady_clock::now() - begin;
    times.push_back(t.count());
  }
  EXPECT_EQ(here.load(), 2 * jobs);
  std::sort(times.begin(), times.end());
  std::printf("parallel_for on 2 threads that meet: median %.2f us\n",
              times[jobs / 2]);
}

TEST(PoolHost, CountsCpus) { EXPECT_GE(gatecc_runtime::countCpus(), 1); }
