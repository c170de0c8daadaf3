# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ONNX Runtime on the CPU, with the model in whatever form it has.
import onnxruntime


class Peer:
    def prepare(self, job):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            job["file"], options, providers=["CPUExecutionProvider"]
        )
        self.name = self.session.get_inputs()[0].name

    def feed(self, arrays):
        self.inputs = [{self.name: x} for x in arrays]

    def run(self, index):
        return self.session.run(None, self.inputs[index])

    def array(self, result):
        return result[0]

    def version(self):
        return onnxruntime.__version__
