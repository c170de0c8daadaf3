// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One library, four threads with a context each:  threads ./model.so BATCH
// Every thread must get the same bits.

#include "model.h"

#include <cstdio>
#include <thread>

int main(int argc, char **argv) try {
  if (argc != 3)
    return std::fprintf(stderr, "usage: %s LIBRARY BATCH\n", argv[0]), 2;
  Model model(argv[1]);
  const int64_t batch = std::atoll(argv[2]);
  constexpr int kThreads = 4, kRuns = 20;
  std::vector<std::vector<char>> results(kThreads);
  std::vector<std::string> errors(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      char why[512] = "";
      gatecc_options options = {};
      options.struct_size = sizeof options;
      options.num_threads = 1 + t % 3; // results do not depend on it
      options.error_message = why;
      options.error_message_bytes = sizeof why;
      gatecc_context *context = nullptr;
      if (model->create(&options, &context) != GATECC_OK) {
        errors[t] = why;
        return;
      }
      try {
        results[t] = model.run(context, batch);
        for (int i = 1; i < kRuns; ++i)
          if (model.run(context, batch) != results[t])
            errors[t] = "two runs gave different results";
      } catch (const std::exception &error) {
        errors[t] = error.what();
      }
      model->destroy(context);
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int t = 0; t < kThreads; ++t) {
    if (results[t] != results[0] && errors[t].empty())
      errors[t] = "the result differs from that of thread 0";
    if (!errors[t].empty())
      return std::fprintf(stderr, "thread %d: %s\n", t, errors[t].c_str()), 1;
  }
  std::printf("%d threads, %d runs each: the same %zu bytes\n", kThreads, kRuns,
              results[0].size());
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
