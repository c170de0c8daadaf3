# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Compiles limits.c and asks it what the machine can do: 10^9 operations per second of a
# precision, 10^9 bytes per second that can be read from a level.
import json
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("limits.c")
LEVELS = ("L2", "L3", "memory")
PEAKS = ("f32", "bf16", "int8")
COMPILERS = ("clang-22", "clang", "cc", "gcc")


class Limits:
    """The running program; it sleeps between requests."""

    def __init__(self, folder, milliseconds=200):
        self.milliseconds = milliseconds
        self.process = subprocess.Popen(
            [build(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.machine = json.loads(self._ask("describe"))

    def _ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("limits ended unexpectedly")
        return answer

    def rate(self, kind, threads, share=1):
        """`share`: of the usual time."""
        milliseconds = max(1, int(share * self.milliseconds))
        return float(self._ask(f"{kind} {threads} {milliseconds}"))

    def kind(self, precision):
        """The products that a precision is computed with, f32 for want of better ones."""
        kind = "int8" if precision == "int4" else precision
        return "f32" if self.machine[kind].startswith("none") else kind

    def peak(self, precision, threads, share=1):
        return self.rate(self.kind(precision), threads, share)

    def table(self, threads):
        """[{threads, f32, bf16, int8, L2, L3, memory}] for 1 to `threads` threads."""
        return [
            {"threads": n}
            | {p: self.peak(p, n) for p in PEAKS}
            | {level: self.rate(level, n) for level in LEVELS}
            for n in range(1, threads + 1)
        ]

    def level_of(self, size, threads):
        """The level that holds `size` bytes which the threads share among them."""
        if size <= threads * self.machine["l2"]:
            return "L2"
        return "L3" if size <= self.machine["l3"] else "memory"

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def build(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "limits"
    if program.is_file() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return str(program)
    compiler = next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise RuntimeError(f"bench needs a C compiler: one of {', '.join(COMPILERS)}")
    subprocess.run(
        [compiler, "-O2", "-pthread", str(SOURCE), "-o", str(program)], check=True
    )
    return str(program)
