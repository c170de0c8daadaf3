// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Runs libraries on arrays.
#include "lib/Driver/LibraryRun.h"

using namespace llvm;
using namespace gatecc;

LibraryRunner::~LibraryRunner() {
  if (context)
    library->destroy(context);
}

gatecc_status LibraryRunner::open(int threads, std::string &error) {
  gatecc_options options = {};
  options.num_threads = threads;
  options.collect_statistics = 1;
  return library.createContext(options, context, error);
}

void LibraryRunner::takeOutputs(ArrayRef<gatecc_named_tensor> tensors,
                                LibraryRun &run) {
  for (const gatecc_named_tensor &named : tensors) {
    const DLTensor &tensor = named.tensor;
    NpyArray array;
    array.type = tensor.dtype;
    array.shape.assign(tensor.shape, tensor.shape + tensor.ndim);
    uint64_t bytes = tensor.dtype.bits / 8;
    for (int64_t extent : array.shape)
      bytes *= uint64_t(extent);
    auto *data = static_cast<const uint8_t *>(tensor.data);
    if (bytes)
      array.data.assign(data + tensor.byte_offset,
                        data + tensor.byte_offset + bytes);
    run.outputs.emplace_back(named.name, std::move(array));
  }
}

void LibraryRunner::takeSites(LibraryRun &run) {
  for (int32_t i = 0; i < library->num_sites; ++i) {
    const int64_t *groups = nullptr;
    int32_t count = 0;
    run.status =
        library->statistics(context, i, nullptr, &groups, &count, nullptr);
    if (run.status != GATECC_OK)
      return;
    run.sites.push_back({library->sites[i].name, library->sites[i].kind,
                         std::vector<int64_t>(groups, groups + count)});
  }
}

LibraryRun LibraryRunner::run(std::vector<NamedArray> &inputs) {
  std::vector<gatecc_named_tensor> given, wanted(size_t(library->num_outputs));
  for (auto &[name, array] : inputs)
    given.push_back(
        makeTensor(name, array.data.data(), array.type, array.shape));
  for (auto [index, tensor] : enumerate(wanted))
    tensor.name = library->outputs[index].name; // the context has the memory
  LibraryRun run;
  run.status = library->run(context, given.data(), int32_t(given.size()),
                            wanted.data(), int32_t(wanted.size()));
  if (run.status == GATECC_OK) {
    takeOutputs(wanted, run);
    takeSites(run);
  }
  if (run.status != GATECC_OK)
    run.error = library.explain(context, run.status);
  return run;
}
