# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The exceptions of the package; their text is that of the compiler or the library.


class Error(Exception):
    """Anything that gatecc refuses or fails to do."""


class CompileError(Error):
    """The compiler is missing, or refused the model.

    `status`: the compiler's exit status (1 the input is at fault, 2 usage, 3 an internal
    error of gatecc), or None if it did not run.
    """

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


class RunError(Error):
    """A library could not be loaded, or refused or failed a run.

    `status`: one of the GATECC_* codes of gatecc/runtime.h, or None.
    """

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status
