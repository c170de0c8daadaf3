# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The systems that are compared: which module runs each, and the form in which it wants a
# model. A module has a class Peer:
#   prepare(job)   load what job describes; ImportError if the system is not installed,
#                  Refused if it cannot do this
#   feed(arrays)   the inputs, f32 arrays [T,D], which are converted here if need be
#   run(i)         the result for input number i, which is what is timed
#   array(result)  the result as an f32 array
#   version()
# job: {"kind": "moe", "chain" or "exit", "precision", "threads", "file": the model's,
# "layer": sizes, "system"}.
import importlib
from dataclasses import dataclass, field


class Refused(Exception):
    """The system cannot do what is asked for."""


@dataclass(frozen=True)
class System:
    name: str
    title: str
    module: str
    # kind -> precision -> the form of the model file; "" if there is only one, or none.
    forms: dict = field(default_factory=dict)

    def form(self, kind, precision):
        """None where the system has no such form."""
        return self.forms.get(kind, {}).get(precision)


GATECC = {
    "moe": {p: "library" for p in ("f32", "bf16", "int8", "int4")},
    "chain": {"f32": "library"},
    "exit": {"f32": "library"},
    "forms": {"f32": "library"},
}
# A layer of one expert's size without routing, beside "same" routings.
DENSE = {"f32": "one"}
# An exit network in which everything is computed.
WHOLE = {"exit": {"f32": "library"}}
QMOE = {"int8": "qmoe8", "int4": "qmoe4"}
SYSTEMS = {
    system.name: system
    for system in (
        System("gatecc", "gatecc", "gatecc_library", GATECC),
        System("gatecc-1", "gatecc, 1 thread", "gatecc_library", GATECC),
        System(
            "gatecc-dense", "gatecc, one dense layer", "gatecc_library", {"moe": DENSE}
        ),
        System("gatecc-whole", "gatecc, no partitions", "gatecc_library", WHOLE),
        System(
            "gatecc-contrib",
            "gatecc, com.microsoft.MoE",
            "gatecc_library",
            {"forms": {"f32": "library"}},
        ),
        System(
            "ort-contrib",
            "ONNX Runtime MoE / QMoE",
            "onnx_runtime",
            {"moe": {"f32": "contrib"} | QMOE},
        ),
        System(
            "ort",
            "ONNX Runtime, standard ONNX",
            "onnx_runtime",
            {
                "moe": {"f32": "unrolled"},
                "chain": {"f32": ""},
                "exit": {"f32": ""},
                "forms": {"f32": ""},
            },
        ),
        System(
            "openvino",
            "OpenVINO",
            "openvino_runtime",
            {
                "moe": {"f32": "unrolled", "bf16": "unrolled"},
                "chain": {"f32": ""},
                "forms": {"f32": ""},
            },
        ),
        System(
            "torch",
            "PyTorch eager",
            "pytorch",
            {"moe": {"f32": "", "bf16": ""}, "chain": {"f32": ""}},
        ),
        System(
            "torch-grouped",
            "PyTorch grouped_mm",
            "pytorch",
            {"moe": {"f32": "", "bf16": ""}},
        ),
        System("torch-onednn", "PyTorch oneDNN", "pytorch", {"chain": {"f32": ""}}),
        System(
            "ggml",
            "ggml mul_mat_id",
            "ggml",
            {"moe": dict.fromkeys(("f32", "bf16", "int8", "int4"), "")},
        ),
        System("openblas", "OpenBLAS (NumPy)", "numpy_chain", {"chain": {"f32": ""}}),
    )
}
OURS = ("gatecc", "gatecc-1", "gatecc-dense", "gatecc-whole", "gatecc-contrib")


def create(name):
    module = importlib.import_module(f".{SYSTEMS[name].module}", __name__)
    return module.Peer()
