// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The task pool of a context, and gatecc_parallel_for on it, on the host's
// pool, or inline.
//
// A job is opened by storing its number to `open`. A worker that sees it enters
// (`inside`), looks at `open` again, and claims tasks from `next`. The caller
// claims tasks too; when none are left it closes the job and waits until nobody
// is inside. A worker that wakes too late therefore delays no one, and a job's
// fields are never written while a worker may read them. Workers spin for a
// while after a job and then sleep on a futex.

#include "context.h"
#include "kernels.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <xmmintrin.h>

using namespace gatecc_runtime;

// Each group of fields that one side writes has a cache line of its own.
struct gatecc_pool {
  alignas(64) uint32_t open; // number of the job that may be entered; 0: none
  int32_t quit;
  uint32_t signal; // futex of sleeping workers, changed at each job
  alignas(64) int32_t sleepers;
  alignas(64) int64_t next;   // first task not claimed
  alignas(64) int32_t inside; // workers in the job; futex of the caller
  int32_t callerSleeps;
  alignas(64) gatecc_context *context;
  int64_t count;
  void (*task)(void *, int64_t);
  void *closure;
  uint32_t number;
  int32_t workers;
  pthread_t *threads; // [workers], behind the pool
};

namespace {

constexpr int32_t kMaxThreads = 1024;

template <typename T> T load(const T &x) {
  return __atomic_load_n(&x, __ATOMIC_ACQUIRE);
}

void futexWait(void *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr);
}

void futexWake(void *word, int32_t count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
}

// Decides when to stop spinning: at first only pauses, then also lets other
// threads run, and gives up after about 100 microseconds.
struct Spin {
  uint32_t rounds = 0;
  int64_t end = 0;

  static int64_t now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
  }

  bool again() {
    _mm_pause();
    if (++rounds % 64)
      return true;
    int64_t t = now();
    if (!end)
      end = t + 100000;
    if (t >= end)
      return false;
    if (rounds > 256)
      sched_yield();
    return true;
  }
};

// The rounding and denormal modes that compiled code is written for; a host's
// thread may have others.
constexpr unsigned kDefaultMode = 0x1f80;

struct DefaultMode {
  unsigned saved = _mm_getcsr();
  DefaultMode() {
    if (saved != kDefaultMode)
      _mm_setcsr(kDefaultMode);
  }
  void restore() { _mm_setcsr(saved); }
};

bool stopped(const gatecc_context &context) {
  return __atomic_load_n(&context.cancelled, __ATOMIC_RELAXED) |
         __atomic_load_n(&context.status, __ATOMIC_RELAXED);
}

/// Ends the run, on its thread and outside of tasks.
void leaveIfStopped(gatecc_context &context) {
  if (stopped(context) && context.runExit) {
    context.leftEarly = 1;
    longjmp(*context.runExit, 1);
  }
}

void claimTasks(gatecc_pool &pool) {
  const int64_t count = pool.count;
  for (;;) {
    int64_t i = __atomic_fetch_add(&pool.next, 1, __ATOMIC_RELAXED);
    if (i >= count || stopped(*pool.context))
      return;
    pool.task(pool.closure, i);
  }
}

void leaveJob(gatecc_pool &pool) {
  if (__atomic_sub_fetch(&pool.inside, 1, __ATOMIC_SEQ_CST) == 0 &&
      __atomic_load_n(&pool.callerSleeps, __ATOMIC_SEQ_CST))
    futexWake(&pool.inside, 1);
}

void *work(void *argument) {
  gatecc_pool &pool = *static_cast<gatecc_pool *>(argument);
  _mm_setcsr(kDefaultMode);
  uint32_t done = 0;
  for (;;) {
    Spin spin;
    while (!load(pool.quit)) {
      uint32_t open = load(pool.open);
      if (open != 0 && open != done)
        break;
      if (spin.again())
        continue;
      // Whoever opens a job changes `signal` and then looks at `sleepers`.
      uint32_t signal = load(pool.signal);
      __atomic_fetch_add(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
      open = __atomic_load_n(&pool.open, __ATOMIC_SEQ_CST);
      if ((open == 0 || open == done) && !load(pool.quit))
        futexWait(&pool.signal, signal);
      __atomic_fetch_sub(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
      spin = Spin();
    }
    if (load(pool.quit))
      return nullptr;
    __atomic_fetch_add(&pool.inside, 1, __ATOMIC_SEQ_CST);
    uint32_t open = __atomic_load_n(&pool.open, __ATOMIC_SEQ_CST);
    if (open != 0) {
      claimTasks(pool);
      done = open;
    }
    leaveJob(pool);
  }
}

void runOnPool(gatecc_pool &pool, gatecc_context &context, int64_t count,
               void (*task)(void *, int64_t), void *closure) {
  pool.context = &context;
  pool.count = count;
  pool.task = task;
  pool.closure = closure;
  __atomic_store_n(&pool.next, int64_t(0), __ATOMIC_RELAXED);
  if (++pool.number == 0)
    pool.number = 1;
  __atomic_store_n(&pool.open, pool.number, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&pool.signal, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&pool.sleepers, __ATOMIC_SEQ_CST) > 0)
    futexWake(&pool.signal,
              count - 1 < pool.workers ? int32_t(count - 1) : pool.workers);
  claimTasks(pool);
  __atomic_store_n(&pool.open, 0u, __ATOMIC_SEQ_CST);
  Spin spin;
  for (;;) {
    int32_t inside = __atomic_load_n(&pool.inside, __ATOMIC_SEQ_CST);
    if (inside == 0)
      return;
    if (spin.again())
      continue;
    __atomic_store_n(&pool.callerSleeps, 1, __ATOMIC_SEQ_CST);
    inside = __atomic_load_n(&pool.inside, __ATOMIC_SEQ_CST);
    if (inside != 0)
      futexWait(&pool.inside, static_cast<uint32_t>(inside));
    __atomic_store_n(&pool.callerSleeps, 0, __ATOMIC_SEQ_CST);
  }
}

struct HostJob {
  gatecc_context *context;
  void (*task)(void *, int64_t);
  void *closure;
};

void runHostTask(void *closure, int64_t index) {
  HostJob &job = *static_cast<HostJob *>(closure);
  if (stopped(*job.context))
    return;
  DefaultMode mode;
  job.task(job.closure, index);
  mode.restore();
}

} // namespace

extern "C" void gatecc_parallel_for(const gatecc_frame *f, int64_t n,
                                    void (*task)(void *closure, int64_t index),
                                    void *closure) {
  gatecc_context *context =
      f ? static_cast<gatecc_context *>(f->context) : nullptr;
  if (!context || __atomic_load_n(&context->inParallel, __ATOMIC_RELAXED)) {
    // Nested: to stop here would leave the rest of this task with values that
    // nobody wrote.
    for (int64_t i = 0; i < n; ++i)
      task(closure, i);
    return;
  }
  // Only the thread of the run gets here; tasks are started after this store.
  if (n > 0 && !stopped(*context)) {
    __atomic_store_n(&context->inParallel, 1, __ATOMIC_RELAXED);
    if (n > 1 && context->hostPool.parallel_for) {
      HostJob job = {context, task, closure};
      context->hostPool.parallel_for(context->hostPool.pool, n, runHostTask,
                                     &job);
    } else if (n > 1 && context->pool) {
      runOnPool(*context->pool, *context, n, task, closure);
    } else {
      for (int64_t i = 0; i < n && !stopped(*context); ++i)
        task(closure, i);
    }
    __atomic_store_n(&context->inParallel, 0, __ATOMIC_RELAXED);
  }
  leaveIfStopped(*context);
}

extern "C" void gatecc_check_cancelled(const gatecc_frame *f) {
  if (f && f->context)
    leaveIfStopped(*static_cast<gatecc_context *>(f->context));
}

gatecc_pool *gatecc_runtime::createPool(int32_t workers) {
  if (workers <= 0)
    return nullptr;
  if (workers >= kMaxThreads)
    workers = kMaxThreads - 1;
  void *memory = nullptr;
  size_t bytes = sizeof(gatecc_pool) + size_t(workers) * sizeof(pthread_t);
  if (posix_memalign(&memory, 64, bytes) != 0)
    return nullptr;
  memset(memory, 0, bytes);
  gatecc_pool *pool = static_cast<gatecc_pool *>(memory);
  pool->threads = reinterpret_cast<pthread_t *>(pool + 1);
  // Signals are for the host's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->workers < workers &&
         pthread_create(&pool->threads[pool->workers], nullptr, work, pool) ==
             0)
    ++pool->workers;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pool->workers == 0) {
    free(pool);
    return nullptr;
  }
  return pool;
}

void gatecc_runtime::destroyPool(gatecc_pool *pool) {
  if (!pool)
    return;
  __atomic_store_n(&pool->quit, 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&pool->signal, 1, __ATOMIC_SEQ_CST);
  futexWake(&pool->signal, pool->workers);
  for (int32_t i = 0; i < pool->workers; ++i)
    pthread_join(pool->threads[i], nullptr);
  free(pool);
}

int32_t gatecc_runtime::countCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int32_t n = 0;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (size_t i = 0; i < sizeof set; ++i)
      n += __builtin_popcount(reinterpret_cast<unsigned char *>(&set)[i]);
  if (n == 0) // more CPUs than a cpu_set_t has room for
    n = static_cast<int32_t>(sysconf(_SC_NPROCESSORS_ONLN));
  return n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n;
}
