// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A context that works on the host's threads:  host_pool ./model.so BATCH
// The result is compared with that of a single thread.

#include "model.h"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <mutex>
#include <thread>

// A minimal thread pool, as a host might have it.
class HostPool {
public:
  explicit HostPool(int workers) {
    for (int i = 0; i < workers; ++i)
      threads.emplace_back([this] { work(); });
  }
  ~HostPool() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      quit = true;
    }
    wake.notify_all();
    for (std::thread &thread : threads)
      thread.join();
  }

  void parallelFor(int64_t n, const std::function<void(int64_t)> &body) {
    std::unique_lock<std::mutex> lock(mutex);
    task = &body;
    next = 0;
    count = n;
    busy = int(threads.size());
    ++job;
    ++calls;
    wake.notify_all();
    lock.unlock();
    claim(n, body);
    lock.lock();
    done.wait(lock, [this] { return busy == 0; });
  }

  int calls = 0;

private:
  void claim(int64_t n, const std::function<void(int64_t)> &body) {
    for (int64_t i; (i = next.fetch_add(1)) < n;)
      body(i);
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (int seen = 0;;) {
      wake.wait(lock, [&] { return quit || job != seen; });
      if (quit)
        return;
      seen = job;
      lock.unlock();
      claim(count, *task);
      lock.lock();
      if (--busy == 0)
        done.notify_one();
    }
  }

  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake, done;
  const std::function<void(int64_t)> *task = nullptr;
  std::atomic<int64_t> next{0};
  int64_t count = 0;
  int busy = 0, job = 0;
  bool quit = false;
};

// What the library calls.
static void parallelFor(void *pool, int64_t n, void (*task)(void *, int64_t),
                        void *closure) {
  static_cast<HostPool *>(pool)->parallelFor(
      n, [=](int64_t i) { task(closure, i); });
}

int main(int argc, char **argv) try {
  if (argc != 3)
    return std::fprintf(stderr, "usage: %s LIBRARY BATCH\n", argv[0]), 2;
  Model model(argv[1]);
  const int64_t batch = std::atoll(argv[2]);
  HostPool pool(2);
  char why[512] = "";
  gatecc_options options = {};
  options.struct_size = sizeof options;
  options.error_message = why;
  options.error_message_bytes = sizeof why;
  std::vector<char> results[2];
  for (int hosted = 0; hosted < 2; ++hosted) {
    options.num_threads = hosted ? 3 : 1;
    if (hosted)
      options.pool = {parallelFor, &pool};
    gatecc_context *context = nullptr;
    if (model->create(&options, &context) != GATECC_OK)
      throw std::runtime_error(why);
    for (int i = 0; i < 10; ++i)
      results[hosted] = model.run(context, batch);
    model->destroy(context);
  }
  if (results[0] != results[1])
    throw std::runtime_error("the host's pool gave another result");
  std::printf("the same %zu bytes with the host's pool, which was called %d "
              "times\n",
              results[0].size(), pool.calls);
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
