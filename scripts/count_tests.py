# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Adds up the JUnit files that the suites of scripts/test.sh wrote, names what failed, and
# ends with the line "N passed, N failed". A suite without results, without a test, or
# with a bad exit status but no failing test counts as one failure.
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def results(path):
    """The names of the tests of a file that passed, failed and were skipped."""
    passed, failed, skipped = [], [], []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = "::".join(filter(None, [case.get("classname"), case.get("name")]))
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"} or case.get("status") == "fail":
            failed.append(name)
        elif "skipped" in kinds or case.get("status") in ("notrun", "disabled"):
            skipped.append(name)
        else:
            passed.append(name)
    return passed, failed, skipped


def main(folder, suites):
    total_passed = total_failed = 0
    for suite in suites:
        try:
            passed, failed, skipped = results(Path(folder) / f"{suite}.xml")
        except (OSError, ElementTree.ParseError):
            passed, failed, skipped = [], ["the suite left no results"], []
        status = (Path(folder) / f"{suite}.status").read_text().strip()
        if not passed and not failed:
            failed = ["the suite ran no test"]
        elif status != "0" and not failed:
            failed = [f"the suite ended with status {status}"]
        for name in failed:
            print(f"FAILED {suite}: {name}")
        note = f", {len(skipped)} skipped" if skipped else ""
        print(f"{suite}: {len(passed)} of {len(passed) + len(failed)} passed{note}")
        total_passed += len(passed)
        total_failed += len(failed)
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
