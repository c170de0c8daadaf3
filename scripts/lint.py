# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What no compiler checks: files of at most 800 lines, named after what they hold, which
# begin with their license.
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {".c", ".cpp", ".h", ".td", ".py", ".sh", ".cmake"}
COUNTED = SOURCES | {".mlir", ".test", ".md"}
GENERATED = "docs/generated/"
MOST_LINES = 800
NAMES = {"utils", "util", "common", "misc", "helpers"}
SPDX = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"


def problems(name):
    path = ROOT / name
    code = path.suffix in SOURCES or path.name == "CMakeLists.txt"
    if path.stem.lower() in NAMES:
        yield "its name does not say what it holds"
    if name.startswith(GENERATED) or not (code or path.suffix in COUNTED):
        return
    lines = path.read_text().splitlines()
    if len(lines) > MOST_LINES:
        yield f"{len(lines)} lines; the most are {MOST_LINES}"
    # A script's first line names its interpreter. Empty files say nothing.
    head = lines[1:2] if lines and lines[0].startswith("#!") else lines[:1]
    if code and head and SPDX not in head[0]:
        yield f"it does not begin with '{SPDX}'"


def main():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    names = [name for name in listed.splitlines() if (ROOT / name).is_file()]
    found = [f"{name}: {text}" for name in names for text in problems(name)]
    print(*found, sep="\n")
    return 1 if found or not names else 0


if __name__ == "__main__":
    sys.exit(main())
