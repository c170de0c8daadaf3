# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Compares the excerpts of docs/Architecture.md with what the compiler prints:
#   check_page.py PAGE MODEL_PY GATECC WORK_FOLDER
# An excerpt is a fenced block. Its first line names the output ("// --compile-to=gate"),
# its other lines stand in it, in order; "..." matches anything, and names of values
# (%12) and indentation do not count. A block of Python stands in MODEL_PY.
import re
import subprocess
import sys
from pathlib import Path


def normalise(line):
    return re.sub(r"%[\w$.#]+(:\d+)?", "%", line.strip().rstrip(","))


def find(wanted, text):
    """The first line of the excerpt that is not in the text after the ones before it."""
    lines = iter(normalise(line) for line in text.splitlines())
    for line in filter(str.strip, wanted):
        pattern = ".*".join(map(re.escape, normalise(line).split("...")))
        if not any(re.fullmatch(pattern, other) for other in lines):
            return line
    return None


def main(page, model, gatecc, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    onnx, library = folder / "small.onnx", folder / "small.so"
    subprocess.run([sys.executable, model, onnx], check=True)

    def run(*command):
        done = subprocess.run(
            [gatecc, *command], check=True, capture_output=True, text=True
        )
        return done.stdout

    run(onnx, "-o", library, "--mcpu=x86-64-v3")
    count = failures = 0
    for kind, text in re.findall(r"^```(\w*)\n(.*?)^```$", Path(page).read_text(), re.M | re.S):
        head, *lines = text.splitlines()
        if kind == "python":
            lines, output = [head, *lines], Path(model).read_text()
        elif head.startswith("// --compile-to="):
            output = run(onnx, head.removeprefix("// "), "--mcpu=x86-64-v3")
        elif head == "// gatecc inspect":
            output = run("inspect", library)
        else:
            continue
        count += 1
        missing = find(lines, output)
        if missing:
            failures += 1
            print(f"{page}: '{head}': this line is not in the output:\n  {missing}")
    print(f"{count} excerpts, {failures} stale")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
