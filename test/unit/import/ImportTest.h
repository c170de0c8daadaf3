// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// A folder that lasts as long as a test, and what importing files in it gives.
#ifndef GATECC_TEST_UNIT_IMPORT_IMPORTTEST_H
#define GATECC_TEST_UNIT_IMPORT_IMPORTTEST_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <gtest/gtest.h>
#include <string>
#include <vector>

template <typename T> std::string rawBytes(const std::vector<T> &values) {
  return std::string(reinterpret_cast<const char *>(values.data()),
                     values.size() * sizeof(T));
}

class ImportTest : public ::testing::Test {
protected:
  using Importer = mlir::OwningOpRef<mlir::ModuleOp> (*)(mlir::MLIRContext &,
                                                         llvm::StringRef);
  ImportTest(Importer importer, const char *fileName)
      : importer(importer), fileName(fileName) {}

  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("gatecc-import", folder));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  std::string pathOf(const std::string &name) {
    llvm::SmallString<128> path = folder;
    llvm::sys::path::append(path, name);
    return std::string(path);
  }
  std::string write(const std::string &name, const std::string &content) {
    std::error_code code;
    llvm::raw_fd_ostream stream(pathOf(name), code);
    EXPECT_FALSE(code);
    stream << content;
    return pathOf(name);
  }
  /// Imports a file; afterwards `diagnostics` holds what was reported. What is
  /// accepted must verify, and what is not must be explained.
  mlir::OwningOpRef<mlir::ModuleOp> importFile(const std::string &path) {
    diagnostics.clear();
    mlir::ScopedDiagnosticHandler handler(
        &context, [&](mlir::Diagnostic &diagnostic) {
          llvm::raw_string_ostream stream(diagnostics);
          if (auto place = mlir::dyn_cast<mlir::FileLineColLoc>(
                  diagnostic.getLocation()))
            stream << place.getLine() << ": ";
          stream << diagnostic << "\n";
          return mlir::success();
        });
    mlir::OwningOpRef<mlir::ModuleOp> module = importer(context, path);
    if (module)
      EXPECT_TRUE(mlir::succeeded(mlir::verify(*module))) << diagnostics;
    else
      EXPECT_NE(diagnostics, "");
    return module;
  }
  mlir::OwningOpRef<mlir::ModuleOp> importBytes(const std::string &content) {
    return importFile(write(fileName, content));
  }
  /// The module as text, or what was reported.
  std::string show(const std::string &content) {
    mlir::OwningOpRef<mlir::ModuleOp> module = importBytes(content);
    if (!module)
      return diagnostics;
    std::string text;
    llvm::raw_string_ostream(text) << *module;
    return text;
  }
  /// Importing fails, for this reason.
  void expectError(const std::string &bytes, const std::string &reason);

  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  llvm::SmallString<128> folder;
  std::string diagnostics;

private:
  Importer importer;
  const char *fileName;
};

/// Is `part` in the text?
#define EXPECT_HAS(text, part)                                                 \
  EXPECT_NE((text).find(part), std::string::npos) << "in: " << (text)

inline void ImportTest::expectError(const std::string &bytes,
                                    const std::string &reason) {
  EXPECT_FALSE(importBytes(bytes)) << "expected: " << reason;
  EXPECT_HAS(diagnostics, reason);
}

#endif // GATECC_TEST_UNIT_IMPORT_IMPORTTEST_H
