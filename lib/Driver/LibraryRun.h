// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs of a loaded library: arrays in, arrays and the counts of sites out.
#ifndef GATECC_LIB_DRIVER_LIBRARYRUN_H
#define GATECC_LIB_DRIVER_LIBRARYRUN_H

#include "lib/Driver/LoadedLibrary.h"
#include "lib/Driver/Npz.h"

namespace gatecc {

/// How many rows each group of a site had.
struct SiteCounts {
  std::string name, kind;
  std::vector<int64_t> groups;
};

struct LibraryRun {
  gatecc_status status = GATECC_OK;
  std::string error; // if it has failed; then there is nothing else
  std::vector<NamedArray> outputs;
  std::vector<SiteCounts> sites;
};

/// A context of a library, which must live longer.
class LibraryRunner {
public:
  explicit LibraryRunner(const LoadedLibrary &library) : library(library) {}
  ~LibraryRunner();
  LibraryRunner(const LibraryRunner &) = delete;
  LibraryRunner &operator=(const LibraryRunner &) = delete;

  /// 0 threads: as many as cores.
  gatecc_status open(int threads, std::string &error);
  LibraryRun run(std::vector<NamedArray> &inputs);

private:
  void takeOutputs(llvm::ArrayRef<gatecc_named_tensor> tensors,
                   LibraryRun &run);
  void takeSites(LibraryRun &run);

  const LoadedLibrary &library;
  gatecc_context *context = nullptr;
};

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_LIBRARYRUN_H
