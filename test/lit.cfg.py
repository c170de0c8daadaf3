# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# How lit runs the tests: which files are tests, and which programs they find.
import os

import lit.formats

config.name = "gatecc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "unit"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.gatecc_binary_dir, "test")

path = [os.path.join(config.gatecc_binary_dir, "bin"), config.llvm_tools_dir]
config.environment["PATH"] = os.pathsep.join(path + [config.environment["PATH"]])
config.substitutions.append(("%python", config.python))
config.substitutions.append(("%models", os.path.join(config.gatecc_source_dir, "models")))
config.substitutions.append(("%docs", os.path.join(config.gatecc_source_dir, "docs")))
