// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Prints diagnostics with the file and the model's node that they are about.
#include "lib/Driver/Diagnostics.h"

#include "mlir/IR/Location.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace gatecc;

namespace {
/// What a location says to the user.
struct Place {
  StringRef file;
  unsigned line = 0, column = 0;
  StringRef node;
};
} // namespace

/// The first file and the first name inside a location.
static void collectPlace(Location location, Place &place) {
  if (auto file = dyn_cast<FileLineColLoc>(location)) {
    if (place.file.empty()) {
      place.file = file.getFilename().getValue();
      place.line = file.getLine();
      place.column = file.getColumn();
    }
  } else if (auto name = dyn_cast<NameLoc>(location)) {
    if (place.node.empty())
      place.node = name.getName().getValue();
    collectPlace(name.getChildLoc(), place);
  } else if (auto fused = dyn_cast<FusedLoc>(location)) {
    for (Location part : fused.getLocations())
      collectPlace(part, place);
  } else if (auto call = dyn_cast<CallSiteLoc>(location)) {
    collectPlace(call.getCallee(), place);
    collectPlace(call.getCaller(), place);
  }
}

static void print(llvm::raw_ostream &os, const Diagnostic &diagnostic) {
  Place place;
  collectPlace(diagnostic.getLocation(), place);
  std::string message = diagnostic.str();
  StringRef text = message;
  if (!place.file.empty()) {
    os << place.file << ":";
    // In a model the line is the number of a node, which its name says better.
    if (!place.file.ends_with(".onnx") && place.line)
      os << place.line << ":" << place.column << ":";
    os << " ";
    if (text.consume_front(place.file) && !text.consume_front(": "))
      text = message;
  } else {
    os << "gatecc: ";
  }
  if (!place.node.empty() && !text.contains("node '"))
    os << "node '" << place.node << "': ";
  switch (diagnostic.getSeverity()) {
  case DiagnosticSeverity::Error:
    os << "error: ";
    break;
  case DiagnosticSeverity::Warning:
    os << "warning: ";
    break;
  case DiagnosticSeverity::Note:
    os << "note: ";
    break;
  case DiagnosticSeverity::Remark:
    os << "remark: ";
    break;
  }
  os << text << "\n";
}

DiagnosticPrinter::DiagnosticPrinter(MLIRContext &context)
    : handler(&context, [this](Diagnostic &diagnostic) {
        if (silent)
          return success();
        if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
          ++count;
        print(llvm::errs(), diagnostic);
        // Where the IR stood means something to developers only.
        for (const Diagnostic &note : diagnostic.getNotes())
          if (!StringRef(note.str()).starts_with("see current operation"))
            print(llvm::errs(), note);
        return success();
      }) {}
