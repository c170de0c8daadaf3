# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs the checks of form, each of which counts as one test: style, size, descriptions of
# ops, generated documents, and clang-tidy on what build/ has compiled.
# `python3 scripts/check.py [--junit FILE]`
import argparse
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKS = {
    "format": ["scripts/format.sh", "--check"],
    "lint": ["python3", "scripts/lint.py"],
    "op-descriptions": ["python3", "scripts/op_descriptions.py"],
    "docs": ["scripts/docs.sh", "--check"],
    "clang-tidy": ["python3", "scripts/tidy.py"],
}


def main():
    parser = argparse.ArgumentParser(description="Run the checks of form.")
    parser.add_argument("--junit", help="write the results to this file")
    arguments = parser.parse_args()
    suite = ElementTree.Element("testsuite", name="checks")
    failed = []
    for name, command in CHECKS.items():
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        case = ElementTree.SubElement(suite, "testcase", classname="checks", name=name)
        if done.returncode:
            failed.append(name)
            ElementTree.SubElement(case, "failure").text = "see the log"
            print(done.stdout, end="")
        print(f"check {name}: {'FAILED' if done.returncode else 'passed'}", flush=True)
    if arguments.junit:
        ElementTree.ElementTree(suite).write(arguments.junit)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
