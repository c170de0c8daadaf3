# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Checks that the description of every op says what it should: what is computed, numbered
# constraints without gaps, and an example. Ops at the gate level also say what they do
# with ties, NaN and nothing. Each constraint of the gate dialect has a negative test, in
# test/dialects/Gate/invalid*.mlir, that carries its op and number (@topk_c1).
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LLVM = Path("/usr/lib/llvm-22")
FAMILIES = sorted(ROOT.glob("dialects/Gate/IR/Gate*.td"))
ONNX = ROOT / "dialects/Onnx/IR/OnnxOps.td"
NEGATIVE = sorted(ROOT.glob("test/dialects/Gate/invalid*.mlir"))
# Families whose ops stand in a user's network: they say what happens in corner cases.
MATHEMATICAL = {"GateDecisions.td", "GateWork.td", "GateContract.td", "GateIndexing.td"}
# Structure only: nothing is computed.
STRUCTURAL = {"gate.yield", "onnx.yield"}


def ops_of(td):
    """The name and description of each op that a .td file defines itself."""
    done = subprocess.run(
        [LLVM / "bin/llvm-tblgen", "--dump-json", f"-I{ROOT}", f"-I{LLVM}/include", td],
        check=True,
        capture_output=True,
        text=True,
    )
    records = json.loads(done.stdout)
    for name in records["!instanceof"]["Op"]:
        record = records[name]
        if f"def {name} " in td.read_text():
            dialect = records[record["opDialect"]["def"]]["name"]
            yield f"{dialect}.{record['opName']}", record["description"]


def constraints(text):
    return [int(number) for number in re.findall(r"\(C(\d+)\)", text)]


def problems(td, op, text, tests):
    if not re.search(r"\bExample:", text):
        yield "no example"
    if not re.split(r"Constraints:|Example:", text)[0].strip() and op != "onnx.yield":
        yield "the text does not say what the op does"
    if op == "onnx.yield":
        return
    numbers = constraints(text)
    if not numbers or "Constraints:" not in text:
        yield "no numbered constraints"
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the constraints are numbered {numbers}"
    if td.name in MATHEMATICAL and op not in STRUCTURAL:
        for word in ("NaN", "Empty"):
            if word not in text:
                yield f"nothing about {word}"
    if op.startswith("gate."):
        for number in numbers:
            test = f"@{op.removeprefix('gate.')}_c{number}"
            if not re.search(re.escape(test) + r"(?!\d)", tests):
                yield f"no negative test {test}"


def main():
    tests = "".join(path.read_text() for path in NEGATIVE)
    count = failures = 0
    for td in [*FAMILIES, ONNX]:
        for op, text in ops_of(td):
            count += 1
            for problem in problems(td, op, text, tests):
                print(f"{td.relative_to(ROOT)}: {op}: {problem}")
                failures += 1
    print(f"{count} ops, {failures} problems")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())
