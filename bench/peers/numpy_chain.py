# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# OpenBLAS, as NumPy brings it: a chain of dense layers, with bias and ReLU in place.
# Its number of threads is in the environment of the process.
import numpy as np

from .. import cells, networks


class Peer:
    def prepare(self, job):
        chain = cells.CHAINS[job["layer"]]
        self.layers = networks.chain_weights(chain)

    def feed(self, arrays):
        self.inputs = arrays
        rows, dim = arrays[0].shape
        self.wide = np.empty((rows, 4 * dim), np.float32)
        self.narrow = [np.empty((rows, dim), np.float32) for _ in self.layers]

    def run(self, index):
        y = self.inputs[index]
        for w, narrow in zip(self.layers, self.narrow):
            np.matmul(y, w["up"], out=self.wide)
            self.wide += w["up_bias"]
            np.maximum(self.wide, 0, out=self.wide)
            np.matmul(self.wide, w["down"], out=narrow)
            narrow += w["down_bias"]
            y = narrow
        return y

    def array(self, result):
        return result

    def version(self):
        blas = np.show_config("dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
