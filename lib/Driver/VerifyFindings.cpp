// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Compares runs, and says what they differ by. Where a decision that is a close
// call went another way, what follows from it is told and is no failure: the
// whole case if the numbers of rows tell so, else as many rows as were close.
#include "lib/Driver/VerifyFindings.h"

#include "lib/Driver/Comparison.h"
#include "llvm/Support/FormatVariadic.h"
#include <numeric>

using namespace llvm;
using namespace gatecc;

static const NpyArray *findArray(ArrayRef<NamedArray> arrays, StringRef name) {
  for (const auto &[key, array] : arrays)
    if (key == name)
      return &array;
  return nullptr;
}

static std::optional<int64_t> closeCallsOf(const ExposedDecision &exposed,
                                           const LibraryRun &plain) {
  const NpyArray *decision = findArray(plain.outputs, exposed.decision);
  std::vector<NpyArray> operands;
  for (const std::string &name : exposed.operands)
    if (const NpyArray *operand = findArray(plain.outputs, name))
      operands.push_back(*operand);
  if (!decision || operands.size() != exposed.operands.size())
    return std::nullopt;
  return countCloseCalls(operands, *decision);
}

void VerifyFindings::beginCase(const VerifyCase &one, const LibraryRun &plain) {
  ++cases;
  closeRows = 0;
  for (const ExposedDecision &exposed : decisions)
    closeRows += closeCallsOf(exposed, plain).value_or(0);
  stream << one.name << ":";
  for (const auto &[name, array] : one.inputs) {
    stream << (&name == &one.inputs.front().first ? " " : "; ") << name << " "
           << typeName(array.type) << " [";
    interleaveComma(array.shape, stream);
    stream << "]";
  }
  stream << "\n";
}

void VerifyFindings::addFailure(StringRef who, const Twine &what) {
  ++differences;
  stream << "  " << who << ": DIFFERENT: " << what << "\n";
}

void VerifyFindings::addLine(StringRef who, const Values &values,
                             bool isExcused) {
  ++comparisons;
  if (values.text.empty()) {
    stream << formatv("  {0}: the same, within {1:e1}\n", who, values.largest);
    return;
  }
  if (!isExcused)
    return addFailure(who, values.text);
  ++excused;
  stream << "  " << who << ": after a close call: " << values.text << "\n";
}

VerifyFindings::Values
VerifyFindings::compareArrays(ArrayRef<NamedArray> actual,
                              ArrayRef<NamedArray> expected) {
  Values values;
  for (const auto &[name, array] : expected) {
    const NpyArray *mine = findArray(actual, name);
    if (!mine)
      continue; // it tells of a decision
    ValueDifference difference = compareValues(*mine, array);
    values.largest = std::max(values.largest, difference.largest);
    values.rows = std::max(values.rows, difference.rows);
    if (!difference.text.empty() && values.text.empty())
      values.text = "output '" + name + "': " + difference.text;
  }
  return values;
}

std::optional<VerifyFindings::Decision>
VerifyFindings::findDecision(const LibraryRun &raised,
                             const LibraryRun &plain) {
  for (const SiteCounts &site : raised.sites) {
    std::optional<std::vector<int64_t>> counts;
    int64_t close = 0, choices = 1;
    bool isCondition = false;
    for (const SiteCounts &same : plain.sites)
      if (same.name == site.name)
        counts = same.groups;
    for (const ExposedDecision &exposed : decisions) {
      const NpyArray *decision = findArray(plain.outputs, exposed.decision);
      if (exposed.site != site.name || !decision)
        continue;
      counts = countGroups(*decision, site.groups.size());
      close = closeCallsOf(exposed, plain).value_or(0);
      isCondition = decision->type.code == kDLBool;
      if (!decision->shape.empty() && !isCondition)
        choices = decision->shape.back();
    }
    // Slots without weight, or beyond a capacity, are in no group.
    auto total = [](ArrayRef<int64_t> numbers) {
      return std::accumulate(numbers.begin(), numbers.end(), int64_t(0));
    };
    if (!counts || counts->size() != site.groups.size() ||
        *counts == site.groups || total(*counts) != total(site.groups))
      continue;
    // Which bit means which group is for the site to say.
    if (isCondition && counts->size() == 2 && (*counts)[0] == site.groups[1])
      continue;
    int64_t moved = 0;
    for (auto [left, right] : zip(*counts, site.groups))
      moved += std::max<int64_t>(left - right, 0);
    return Decision{formatv("'{0}' ({1}) decides otherwise for {2} rows or "
                            "more, {3} are close calls",
                            site.name, site.kind, moved, close),
                    moved <= close * choices};
  }
  return std::nullopt;
}

void VerifyFindings::compareForms(const LibraryRun &raised,
                                  const LibraryRun &plain) {
  constexpr StringRef who = "raised and unraised";
  if (raised.status != GATECC_OK && plain.status != GATECC_OK) {
    stream << "  " << who << ": both refuse: " << plain.error << "\n";
    return;
  }
  if (plain.status != GATECC_OK) {
    // Work that is skipped cannot fail.
    stream << "  " << who << ": only unraised refuses: " << plain.error << "\n";
    return;
  }
  if (raised.status != GATECC_OK) {
    ++comparisons;
    return addFailure(who, "only raised refuses: " + raised.error);
  }
  Values values = compareArrays(raised.outputs, plain.outputs);
  std::optional<Decision> decision = findDecision(raised, plain);
  bool isExcused = decision ? decision->isClose : values.rows <= closeRows;
  if (decision && values.text.empty())
    values.text = "decisions, not values";
  addLine(who, values, isExcused);
  if (decision)
    stream << "    first site concerned: " << decision->text << "\n";
  else if (!values.text.empty() && !raised.sites.empty())
    stream << "    no site decides otherwise; the first one is '"
           << raised.sites.front().name << "' (" << raised.sites.front().kind
           << ")\n";
}

void VerifyFindings::compareOutputs(StringRef who, const LibraryRun &raised,
                                    ArrayRef<NamedArray> expected,
                                    StringRef reason) {
  if (!reason.empty()) {
    stream << "  " << who << ": not compared: " << reason << "\n";
    return;
  }
  if (raised.status != GATECC_OK) {
    stream << "  " << who
           << ": not compared, the run is refused: " << raised.error << "\n";
    return;
  }
  Values values = compareArrays(raised.outputs, expected);
  addLine(who, values, values.rows <= closeRows);
}

const std::string &VerifyFindings::finish(int32_t sites,
                                          const OnnxRuntimeRun &peer) {
  if (!peer.reason.empty())
    stream << "ONNX Runtime was not compared: " << peer.reason << "\n";
  else
    stream << "ONNX Runtime " << peer.version << "\n";
  stream << formatv("{0} sites, {1} cases, {2} comparisons: {3} different, {4} "
                    "after close calls\n",
                    sites, cases, comparisons, differences, excused);
  return text;
}
