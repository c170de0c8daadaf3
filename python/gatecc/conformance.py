# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Runs the node tests of the installed onnx package through gatecc and counts, operator by
# operator, what passes: python -m gatecc.conformance
import argparse
import contextlib
import faulthandler
import fnmatch
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import textwrap
import time
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import onnx

import gatecc

# float16 and bfloat16 are left out: the tests of functions that round after each node ask for
# more digits than those have.
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "int8", "bool")
PASSED, FAILED, UNSUPPORTED = "passed", "failed", "unsupported"
OUTCOMES = (PASSED, FAILED, UNSUPPORTED)
OUTCOMES_FROM_BEST = (PASSED, UNSUPPORTED, FAILED)
SECONDS_PER_TEST = 60
# What gatecc says of an operator, attribute, type or run-time size that it lacks. Any
# other refusal of a test is a failure: the tests are valid models.
REFUSAL = re.compile(r"support|constant|gatecc needs")


@dataclass(frozen=True)
class Case:
    """One test: a model, and pairs of inputs and expected outputs."""

    name: str
    operator: str
    model: onnx.ModelProto
    data: list
    rtol: float
    atol: float


@dataclass(frozen=True)
class Result:
    name: str
    operator: str
    outcome: str
    reason: str = ""


# --- The tests


def collect():
    """(cases, left): the tests whose tensors all have a type of DTYPES, and the number of
    the others."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        made = collect_testcases(None)
    cases = [
        Case(c.name, _operator(c), c.model, _arrays(c), c.rtol, c.atol)
        for c in made
        if c.model is not None and all(map(_is_taken, _values(c)))
    ]
    return sorted(cases, key=lambda c: c.name), len(made) - len(cases)


def _values(case):
    return (*case.model.graph.input, *case.model.graph.output)


def _is_taken(value):
    """Is it a tensor of one of the types?"""
    if not value.type.HasField("tensor_type"):
        return False
    kind = value.type.tensor_type.elem_type
    return onnx.helper.tensor_dtype_to_np_dtype(kind).name in DTYPES and (
        kind != onnx.TensorProto.STRING
    )


def _arrays(case):
    """The data sets as arrays; some tests give them as protocol buffers."""

    def array(value):
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        return np.asarray(value)

    return [tuple([array(v) for v in side] for side in pair) for pair in case.data_sets]


def _operator(case):
    """What a test is about: its one node, or the function that its nodes came from."""
    nodes = case.model.graph.node
    if len(nodes) == 1:
        domain = nodes[0].domain
        return f"{domain}.{nodes[0].op_type}" if domain else nodes[0].op_type
    # The names of expanded tests are those of the tests that they were made from.
    return _by_test().get(_unexpanded(case.name), nodes[-1].op_type)


def _unexpanded(name):
    return re.sub(r"_expanded(_ver\d+)?$", "", name)


def _by_test():
    """The operator of each test with one node, by the test's name."""
    from onnx.backend.test.case import node

    if not _by_test.known:
        for made in node._NodeTestCases:
            if len(made.model.graph.node) == 1:
                _by_test.known[made.name] = made.model.graph.node[0].op_type
    return _by_test.known


_by_test.known = {}


# --- One test


def run(case, folder):
    """Compile and run `case`; returns a Result."""

    def result(outcome, reason=""):
        return Result(case.name, case.operator, outcome, " ".join(reason.split()))

    model, library = (os.path.join(folder, f"model.{end}") for end in ("onnx", "so"))
    onnx.save(case.model, model)
    try:
        gatecc.compile(model, library)
    except gatecc.CompileError as error:
        refused = error.status == 1 and REFUSAL.search(str(error))
        text = str(error).replace(folder + os.sep, "")
        return result(UNSUPPORTED if refused else FAILED, text)
    graph = case.model.graph
    try:
        with gatecc.load(library, threads=1, statistics=False) as lib:
            for inputs, expected in case.data:
                made = lib(dict(zip((i.name for i in graph.input), inputs)))
                for output, want in zip(graph.output, expected):
                    _compare(output.name, made[output.name], want, case)
    except (gatecc.RunError, AssertionError) as error:
        return result(FAILED, str(error))
    return result(PASSED)


def _compare(name, made, want, case):
    assert made.dtype == want.dtype, f"{name}: {made.dtype}, expected {want.dtype}"
    assert made.shape == want.shape, f"{name}: {made.shape}, expected {want.shape}"
    if made.dtype == bool:
        np.testing.assert_array_equal(made, want, err_msg=name)
    else:
        np.testing.assert_allclose(
            made, want, rtol=case.rtol, atol=case.atol, err_msg=name
        )


# --- All tests


class Worker:
    """A process that runs tests one by one; it may crash, and it may be ended."""

    def __init__(self, cases):
        context = multiprocessing.get_context("fork")  # the cases need not be sent
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=self._work, args=(cases, end))
        self.process.start()
        end.close()
        self.index = None

    def _work(self, cases, pipe):
        os.setsid()  # So that its compiler can be ended with it.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()
        self.pipe.close()
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(EOFError):
            while True:
                pipe.send(run(cases[pipe.recv()], folder))

    def start(self, index):
        self.index, self.limit = index, time.monotonic() + SECONDS_PER_TEST
        self.pipe.send(index)

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # It may not have a group of its own yet.
        self.process.join()
        self.pipe.close()


def run_all(cases, processes=2):
    """The results of `cases`, in their order. A crash or a test that does not end is a
    failure of that test alone."""
    results = [None] * len(cases)
    left = iter(range(len(cases)))
    workers = []

    def give(worker):
        index = next(left, None)
        if index is None:
            worker.end()
            workers.remove(worker)
        else:
            worker.start(index)

    def replace(worker, reason):
        case = cases[worker.index]
        results[worker.index] = Result(case.name, case.operator, FAILED, reason)
        worker.end()
        workers.remove(worker)
        workers.append(Worker(cases))
        give(workers[-1])

    try:
        for _ in range(min(processes, len(cases))):
            workers.append(Worker(cases))
            give(workers[-1])
        while workers:
            ready = wait([w.pipe for w in workers], timeout=1)
            for worker in list(workers):
                if worker.pipe in ready:
                    try:
                        results[worker.index] = worker.pipe.recv()
                    except EOFError:
                        replace(worker, "the run crashed")
                        continue
                    give(worker)
                elif time.monotonic() > worker.limit:
                    replace(worker, f"did not end in {SECONDS_PER_TEST} s")
    finally:
        for worker in workers:
            worker.end()
    return results


# --- The table


def count(results):
    """{operator: Counter of outcomes}, sorted."""
    table = defaultdict(Counter)
    for result in results:
        table[result.operator][result.outcome] += 1
    return dict(sorted(table.items()))


def page(results, left):
    """The results as a Markdown page: the table, and the tests that do not pass."""
    counts = count(results)
    total = Counter(r.outcome for r in results)
    lines = [
        "# Conformance",
        "",
        f"The node tests of onnx {onnx.__version__} whose inputs and outputs are tensors of",
        f"{', '.join(DTYPES)}, as `python -m gatecc.conformance`",
        "runs them; its option `--write` writes this page. *Unsupported*: gatecc says that it",
        "lacks the operator, an attribute, a type or a size that is known at run time only.",
        "*Failed*: everything else but the expected result, within the test's tolerance.",
        f"{left} tests with other types are left out.",
        "",
        "| operator | passed | failed | unsupported |",
        "|---|--:|--:|--:|",
    ]
    for operator, outcomes in [*counts.items(), ("**all**", total)]:
        cells = " | ".join(str(outcomes[o] or "") for o in OUTCOMES)
        lines.append(f"| {operator} | {cells} |")
    for outcome in (FAILED, UNSUPPORTED):
        if not total[outcome]:
            continue
        lines += ["", f"## {outcome.capitalize()}", ""]
        for operator in counts:
            names = [
                r.name.removeprefix("test_")
                for r in results
                if (r.operator, r.outcome) == (operator, outcome)
            ]
            if names:
                text = f"- {operator}: {', '.join(names)}"
                lines += textwrap.wrap(
                    text, 100, subsequent_indent="  ", break_on_hyphens=False
                )
    return "\n".join(lines) + "\n"


def read_page(path):
    """{name: outcome} of the tests that do not pass, of a written page."""
    outcome, result = None, {}
    for line in Path(path).read_text().splitlines():
        if line.startswith("## "):
            outcome = line[3:].lower()
        elif outcome and line:
            names = line.split(": ")[-1]
            for name in filter(None, (n.strip() for n in names.split(","))):
                result[f"test_{name}"] = outcome
    return result


def worse(results, written):
    """Those of `results` that are worse than `written`, which read_page gave."""
    return [
        r
        for r in results
        if OUTCOMES_FROM_BEST.index(r.outcome)
        > OUTCOMES_FROM_BEST.index(written.get(r.name, PASSED))
    ]


def sample(cases, stride):
    """The first test of each operator, and one in `stride` of the others."""
    seen, result = set(), []
    for index, case in enumerate(cases):
        if case.operator not in seen or index % stride == 0:
            result.append(case)
        seen.add(case.operator)
    return result


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m gatecc.conformance",
        description="Run the node tests of the onnx package through gatecc.",
    )
    parser.add_argument("pattern", nargs="*", help="names of tests or operators: Re*")
    parser.add_argument("--write", metavar="FILE", help="write the table as a page")
    parser.add_argument("--check", metavar="FILE", help="fail if worse than that page")
    parser.add_argument("--json", metavar="FILE", help="write every result")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("-v", "--verbose", action="store_true", help="give reasons")
    options = parser.parse_args(arguments)
    if options.write and options.pattern:
        parser.error("--write needs all tests")
    cases, left = collect()
    if options.pattern:
        cases = [
            c
            for c in cases
            if any(
                fnmatch.fnmatchcase(name, p)
                for p in options.pattern
                for name in (c.name, c.operator)
            )
        ]
    begin = time.monotonic()
    results = run_all(cases, options.jobs)
    width = max((len(c.operator) for c in cases), default=8)
    print(f"{'':{width}} " + " ".join(f"{o:>11}" for o in OUTCOMES))
    for operator, outcomes in count(results).items():
        print(f"{operator:{width}} " + " ".join(f"{outcomes[o]:11}" for o in OUTCOMES))
    for result in results:
        if result.outcome == FAILED or (options.verbose and result.reason):
            print(f"{result.outcome}: {result.name}: {result.reason}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump([vars(r) for r in results], file, indent=0)
    if options.write:
        Path(options.write).write_text(page(results, left))
    total = Counter(r.outcome for r in results)
    print(", ".join(f"{total[o]} {o}" for o in OUTCOMES), end=" ")
    print(f"of {len(results)} in {time.monotonic() - begin:.0f} s; {left} not taken")
    if options.check:
        lost = worse(results, read_page(options.check))
        for result in lost:
            print(f"worse than in {options.check}: {result.name}: {result.outcome}")
        return 1 if lost else 0
    return 1 if total[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
