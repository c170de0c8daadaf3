# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Says what the innermost loops of functions are made of: one line for each, with the number of
# every instruction that multiplies or adds or loads a tile register, of all instructions, and of
# vectors that are moved to or from the stack, in the loop and in the whole function. Functions
# are those whose name matches.
#   loops.py OBJECT REGEX
import collections
import re
import subprocess
import sys

ARITHMETIC = r"v?(fn?m(add|sub)|mul|add|sub)\w*[ps][sd]$|v?p(mul|madd|add)|vdp|vpdp|tdp|tileload"
SPILL = r"\(%rsp\b.*%[txyz]mm|%[txyz]mm.*\(%rsp\b"


def functions(text):
    """(name, [(address, instruction)])"""
    for part in re.split(r"\n(?=[0-9a-f]+ <)", text):
        head = re.match(r"[0-9a-f]+ <(.*)>:\n", part)
        if head:
            lines = re.findall(r"^ +([0-9a-f]+): +\t?(.*)$", part, re.M)
            yield head[1], [(int(a, 16), t.strip().removeprefix("{vex}").strip()) for a, t in lines]


def innermost_loops(code):
    """What lies between the target of a jump backwards and the jump, with no such jump inside."""
    loops = []
    for address, text in code:
        jump = re.match(r"j\w+\s+(?:0x)?([0-9a-f]+)\b", text)
        if jump and int(jump[1], 16) <= address:
            loops.append((int(jump[1], 16), address))
    for begin, end in sorted(loops):
        if not any((b, e) != (begin, end) and begin <= b and e <= end for b, e in loops):
            loop = [text for address, text in code if begin <= address <= end]
            # A jump back to the function's end is no loop.
            if not any(text.startswith("ret") for text in loop):
                yield loop


def count_spills(instructions):
    return sum(bool(re.search(SPILL, text)) for text in instructions)


def describe(loop, code):
    counts = collections.Counter(re.match(r"\S+", text)[0] for text in loop)
    words = [f"{m}={n}" for m, n in sorted(counts.items()) if re.match(ARITHMETIC, m)]
    whole = count_spills(text for _, text in code)
    words += [f"instructions={len(loop)}", f"spills={count_spills(loop)}", f"whole={whole}"]
    return " ".join(words)


def main():
    path, pattern = sys.argv[1:]
    command = ["llvm-objdump", "-d", "--no-show-raw-insn", path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name, code in sorted(functions(text)):
        if re.fullmatch(pattern, name):
            for loop in innermost_loops(code):
                print(f"{name}: {describe(loop, code)}")


main()
