# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A library that gatecc compiled, called through the Python package as a user would.
import gatecc


class Peer:
    def prepare(self, job):
        self.library = gatecc.load(
            job["file"], threads=job["threads"], statistics=False
        )
        self.name = self.library.inputs[0].name
        self.output = self.library.outputs[0].name

    def feed(self, arrays):
        self.inputs = [{self.name: x} for x in arrays]

    def run(self, index):
        return self.library(self.inputs[index])

    def array(self, result):
        return result[self.output]

    def version(self):
        return self.library.compiler_version
