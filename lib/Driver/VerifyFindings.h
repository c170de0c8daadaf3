// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What `gatecc verify` finds, case by case, as text.
#ifndef GATECC_LIB_DRIVER_VERIFYFINDINGS_H
#define GATECC_LIB_DRIVER_VERIFYFINDINGS_H

#include "lib/Driver/ExposeDecisions.h"
#include "lib/Driver/LibraryRun.h"
#include "lib/Driver/OnnxRuntime.h"
#include "lib/Driver/VerifyCases.h"
#include "llvm/Support/raw_ostream.h"

namespace gatecc {

class VerifyFindings {
public:
  explicit VerifyFindings(llvm::ArrayRef<ExposedDecision> decisions)
      : decisions(decisions), stream(text) {}

  /// `plain` has the outputs that tell of decisions.
  void beginCase(const VerifyCase &one, const LibraryRun &plain);
  void compareForms(const LibraryRun &raised, const LibraryRun &plain);
  /// With what `who` has computed, or why it has not.
  void compareOutputs(llvm::StringRef who, const LibraryRun &raised,
                      llvm::ArrayRef<NamedArray> expected,
                      llvm::StringRef reason = "");
  /// Ends the text and returns it.
  const std::string &finish(int32_t sites, const OnnxRuntimeRun &peer);
  bool differ() const { return differences != 0; }

private:
  struct Values {
    std::string text; // "" if all are the same
    int64_t rows = 0; // of the output where most rows differ
    double largest = 0;
  };
  /// A site whose groups have other numbers of rows.
  struct Decision {
    std::string text;
    bool isClose = false;
  };

  Values compareArrays(llvm::ArrayRef<NamedArray> actual,
                       llvm::ArrayRef<NamedArray> expected);
  std::optional<Decision> findDecision(const LibraryRun &raised,
                                       const LibraryRun &plain);
  void addLine(llvm::StringRef who, const Values &values, bool isExcused);
  void addFailure(llvm::StringRef who, const llvm::Twine &what);

  llvm::ArrayRef<ExposedDecision> decisions;
  int64_t closeRows = 0; // of all sites in this case
  unsigned cases = 0, comparisons = 0, differences = 0, excused = 0;
  std::string text;
  llvm::raw_string_ostream stream;
};

} // namespace gatecc

#endif // GATECC_LIB_DRIVER_VERIFYFINDINGS_H
