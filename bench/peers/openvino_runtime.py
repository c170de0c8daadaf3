# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# OpenVINO on the CPU. Inputs are shared, results stay in OpenVINO's own memory.
import openvino

from . import Refused


class Peer:
    def prepare(self, job):
        core = openvino.Core()
        precision = job["precision"]
        if precision == "bf16":
            able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            if "BF16" not in able:
                raise Refused("OpenVINO has no bf16 on this CPU")
        compiled = core.compile_model(
            job["file"],
            "CPU",
            {
                "INFERENCE_NUM_THREADS": job["threads"],
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self.request = compiled.create_infer_request()

    def feed(self, arrays):
        self.inputs = [openvino.Tensor(x, shared_memory=True) for x in arrays]

    def run(self, index):
        self.request.set_input_tensor(self.inputs[index])
        self.request.infer()
        return self.request.get_output_tensor()

    def array(self, result):
        return result.data

    def version(self):
        return openvino.get_version().partition("-")[0]
