# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs a model with ONNX Runtime for `gatecc verify`, which holds this text and gives it to
# an interpreter with the arguments MODEL IN.npz OUT.npz. in{i}.NAME are the inputs of case
# i, out{i}.NAME its outputs; where it fails, error{i} has the bytes of the reason. If
# nothing can be run, the reason is printed, and the status is 1.
import sys

sys.path = [path for path in sys.path if path]  # not the folder of the user
try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    print(error)
    sys.exit(1)

onnxruntime.set_default_logger_severity(4)
model, given, results = sys.argv[1:]
cases = {}
with np.load(given) as arrays:
    for key in arrays.files:
        case, name = key.split(".", 1)
        cases.setdefault(case.removeprefix("in"), {})[name] = arrays[key]
try:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
except Exception as error:
    print(error)
    sys.exit(1)
found = {"version": np.frombuffer(onnxruntime.__version__.encode(), np.uint8)}
names = [output.name for output in session.get_outputs()]
for case, feeds in cases.items():
    try:
        for name, array in zip(names, session.run(names, feeds)):
            found[f"out{case}.{name}"] = array
    except Exception as error:
        found[f"error{case}"] = np.frombuffer(str(error).encode(), np.uint8)
np.savez(results, **found)
