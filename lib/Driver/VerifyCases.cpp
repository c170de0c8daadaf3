// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sorts the arrays of a .npz file into cases.
#include "lib/Driver/VerifyCases.h"

#include "llvm/ADT/STLExtras.h"
#include <map>

using namespace llvm;
using namespace gatecc;

static const gatecc_tensor_info *
findTensor(ArrayRef<gatecc_tensor_info> tensors, StringRef name) {
  const auto *found = llvm::find_if(
      tensors, [&](const auto &tensor) { return name == tensor.name; });
  return found == tensors.end() ? nullptr : found;
}

namespace {
/// Where an array belongs.
struct Place {
  uint64_t number = 0; // of the case
  const gatecc_tensor_info *input = nullptr, *output = nullptr;
};
} // namespace

static std::optional<Place> placeOf(const gatecc_library &library,
                                    StringRef key) {
  ArrayRef inputs(library.inputs, size_t(library.num_inputs)),
      outputs(library.outputs, size_t(library.num_outputs));
  // A name may look like a number and another name.
  if (const auto *input = findTensor(inputs, key))
    return Place{0, input, nullptr};
  if (const auto *output = findTensor(outputs, key))
    return Place{0, nullptr, output};
  bool isInput = key.consume_front("in");
  Place place;
  if ((!isInput && !key.consume_front("out")) ||
      key.consumeInteger(10, place.number) || !key.consume_front("."))
    return std::nullopt;
  (isInput ? place.input : place.output) =
      findTensor(isInput ? inputs : outputs, key);
  if (!place.input && !place.output)
    return std::nullopt;
  return place;
}

bool gatecc::sortCases(const gatecc_library &library,
                       std::vector<NamedArray> arrays,
                       std::vector<VerifyCase> &cases, std::string &error) {
  std::map<uint64_t, VerifyCase> numbered;
  for (auto &[key, array] : arrays) {
    std::optional<Place> place = placeOf(library, key);
    if (!place) {
      error = "'" + key +
              "' is neither NAME nor in{i}.NAME or out{i}.NAME of an input or "
              "output of the network";
      return false;
    }
    const gatecc_tensor_info &info =
        place->input ? *place->input : *place->output;
    array.adoptType(info.dtype);
    VerifyCase &one = numbered[place->number];
    auto &list = place->input ? one.inputs : one.expected;
    if (any_of(list,
               [&](const auto &other) { return other.first == info.name; })) {
      error = "'" + key + "' is there twice";
      return false;
    }
    list.emplace_back(info.name, std::move(array));
  }
  for (auto &[number, one] : numbered) {
    one.name = "case " + std::to_string(number);
    for (const gatecc_tensor_info &info :
         ArrayRef(library.inputs, size_t(library.num_inputs)))
      if (none_of(one.inputs, [&](const auto &input) {
            return input.first == info.name;
          })) {
        error = one.name + " has no array for the input '" + info.name + "'";
        return false;
      }
    cases.push_back(std::move(one));
  }
  if (cases.empty())
    error = "it holds no arrays";
  return !cases.empty();
}
