# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs clang-tidy over the compiler and the runtime, or the files that are named, as they
# are compiled in build/. Nearly all of its time goes into the headers of MLIR, once for
# each translation unit: therefore files that use the same namespaces are checked in batches.
# `python3 scripts/tidy.py [FILE...]`
import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BATCHES = ROOT / "build" / "tidy"
FOLDERS = ("dialects", "lib", "runtime", "tools")
MOST_FILES = 20
PCH = "-include-pch"  # what is compiled without it is quick to check
CLASH = "[clang-diagnostic-error]"


def compile_flags(entry):
    """The command that compiles a file, without the file and its output."""
    arguments = shlex.split(entry["command"])
    for option in ("-o", "-c"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    return shlex.join(arguments)


def sources(wanted):
    """{flags: {namespaces: files}} of what build/ compiles."""
    found = {}
    for entry in json.loads((ROOT / "build" / "compile_commands.json").read_text()):
        path = Path(entry["file"])
        if not path.is_relative_to(ROOT) or path.suffix != ".cpp":
            continue
        if path in wanted if wanted else path.relative_to(ROOT).parts[0] in FOLDERS:
            used = re.findall(r"^using namespace (\w+);", path.read_text(), re.M)
            key = tuple(sorted({*used} - {"gatecc"}))
            # ONNX has functions, types and attributes of its own.
            if key and {"Import", "Onnx"} & {*path.parts}:
                key += ("import",)
            groups = found.setdefault(compile_flags(entry), {})
            groups.setdefault(key, set()).add(path)
    return found


def batches(found):
    """Lists of at most MOST_FILES, or few more, with their flags."""
    for flags, groups in found.items():
        files = [sorted(group) for used, group in groups.items() if used]
        made = []
        for group in files:
            count = -(-len(group) // MOST_FILES)
            bounds = [len(group) * i // count for i in range(count + 1)]
            made += [group[a:b] for a, b in zip(bounds, bounds[1:])]
        # Files that use no namespace go with any other; each main with another one.
        rest = sorted(groups.get((), ()))
        made = made or [[]]
        for at, path in enumerate(rest):
            made[at % len(made)].append(path)
        for group in made:
            yield from [(flags, group)] if PCH in flags else [(flags, [p]) for p in group]


def write_batch(number, flags, files):
    """A folder with a file that includes the batch's files, and its compile command."""
    folder = BATCHES / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    batch = folder / "batch.cpp"
    batch.write_text("".join(f'#include "{path}"\n' for path in sorted(files)))
    entry = {
        "directory": str(ROOT / "build"),
        "file": str(batch),
        "command": f"{flags} -c {shlex.quote(str(batch))}",
    }
    (folder / "compile_commands.json").write_text(json.dumps([entry]))
    return batch


def tidy(batch, folders):
    # The runtime's names are those of C, as in its interface.
    checks = ["--checks=-readability-identifier-naming"] if "runtime" in folders else []
    done = subprocess.run(
        ["clang-tidy-22", "-p", batch.parent, "--quiet", "--warnings-as-errors=*"]
        + [*checks, batch],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr if done.returncode else ""


def check(job):
    """What clang-tidy finds in a batch; empty if nothing."""
    number, (flags, files) = job
    begin = time.monotonic()
    folders = {path.relative_to(ROOT).parts[0] for path in files}
    report = tidy(write_batch(number, flags, files), folders)
    if CLASH in report and len(files) > 1:
        print(f"tidy: names clash in batch {number}: its files one by one", flush=True)
        print(*(line for line in report.splitlines() if CLASH in line), sep="\n")
        report = "".join(
            tidy(write_batch(f"{number}-{i}", flags, [path]), folders)
            for i, path in enumerate(files)
        )
    seconds = time.monotonic() - begin
    print(f"tidy: batch {number} of {len(files)} files: {seconds:.0f} s", flush=True)
    return report


def main():
    wanted = {Path(name).resolve() for name in sys.argv[1:]}
    found = sources(wanted)
    known = {path for groups in found.values() for group in groups.values() for path in group}
    if not known or wanted - known:
        sys.exit("tidy: no such file is compiled in build/; configure and build first")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        reports = [text for text in pool.map(check, enumerate(batches(found))) if text]
    print(*reports, sep="", end="")
    return 1 if reports else 0


if __name__ == "__main__":
    sys.exit(main())
