# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The node tests of ONNX: a sample must do as well as docs/conformance.md says, and the
# runner must tell a wrong result, a refusal and a crash apart.
import os

import numpy as np
import onnx
import pytest
from conftest import ROOT
from onnx import TensorProto, helper

from gatecc import conformance

PAGE = ROOT / "docs" / "conformance.md"


def test_no_worse_than_the_page():
    cases, _ = conformance.collect()
    chosen = conformance.sample(cases, 4)
    assert len(chosen) > 400
    results = conformance.run_all(chosen)
    assert [r.name for r in results] == [c.name for c in chosen]
    lost = conformance.worse(results, conformance.read_page(PAGE))
    assert not lost, "\n".join(f"{r.name}: {r.outcome}: {r.reason}" for r in lost)


def test_page_names_tests(tmp_path):
    results = [
        conformance.Result("test_a", "A", conformance.PASSED),
        conformance.Result("test_a_2", "A", conformance.FAILED, "wrong"),
        *(
            conformance.Result(f"test_b_{i:030}", "B", conformance.UNSUPPORTED)
            for i in range(9)
        ),
    ]
    (tmp_path / "page.md").write_text(conformance.page(results, 3))
    text = (tmp_path / "page.md").read_text()
    assert "| A | 1 | 1 |  |" in text and "| **all** | 1 | 1 | 9 |" in text
    written = conformance.read_page(tmp_path / "page.md")
    assert written == {r.name: r.outcome for r in results[1:]}
    assert conformance.worse(results, written) == []
    assert conformance.worse(results, {}) == results[1:]
    del written["test_a_2"]
    assert conformance.worse(results, written) == [results[1]]


def _case(name, operator, expected, **attributes):
    x = np.array([1, -2, 3], np.float32)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], "n", **attributes)],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    data = [([x], [np.array(expected, np.float32)])]
    return conformance.Case(name, operator, model, data, 1e-3, 1e-7)


def test_outcomes():
    cases = [
        _case("right", "Relu", [1, 0, 3]),
        _case("wrong", "Relu", [1, 0, 4]),
        _case("type", "Relu", [1, 0, 3]),
        _case("refused", "NoSuchOperator", [1, 0, 3]),
        _case("invalid", "Softmax", [1, 0, 3], axis=5),
        _case("again", "Abs", [1, 2, 3]),
    ]
    cases[2].data[0][1][0] = cases[2].data[0][1][0].astype(np.float64)
    outcomes = [r.outcome for r in conformance.run_all(cases)]
    passed, failed, unsupported = conformance.OUTCOMES
    assert outcomes == [passed, failed, failed, unsupported, failed, passed]


@pytest.mark.parametrize("end", ["crash", "hang"])
def test_worker_that_ends(monkeypatch, end):
    def run(case, folder):
        if case.name == "bad":
            if end == "crash":
                os.abort()
            os.read(os.pipe()[0], 1)  # waits for ever
        return conformance.Result(case.name, case.operator, conformance.PASSED)

    monkeypatch.setattr(conformance, "run", run)
    monkeypatch.setattr(conformance, "SECONDS_PER_TEST", 2)
    model = onnx.ModelProto()
    names = ["one", "bad", "two", "three"]
    cases = [conformance.Case(n, "A", model, [], 0, 0) for n in names]
    results = conformance.run_all(cases)
    assert [r.name for r in results] == names
    assert [r.outcome == conformance.PASSED for r in results] == [True, False, True, True]
    assert ("crash" if end == "crash" else "did not end") in results[1].reason
