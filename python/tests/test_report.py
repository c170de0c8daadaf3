# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The report in full, as text and as JSON: it is stable. Experts that are found, an exit
# network, a loop whose rows halt, a router that is an operator, and what is refused.
import json

import numpy as np
import pytest

import gatecc
from conftest import MODELS
from gatecc.models import exits
from gatecc.models.graph import Graph
from test_exports import FORMS


@pytest.fixture
def report(tmp_path):
    """(text, JSON) of a model."""

    def compile_and_read(model):
        files = tmp_path / "report.txt", tmp_path / "report.json"
        for file in files:
            gatecc.compile(model, compile_to="gate", report=file)
        return files[0].read_text(), json.loads(files[1].read_text())

    return compile_and_read


def test_experts(build, report):
    model = build.graph(FORMS["gathered-weights"]())
    text, found = report(model)
    note = "by proof: the products are those of the experts that 'top' chose, 2 for each row"
    effect = "each row runs the experts that it chose; the others are skipped"
    router = "R1: softmax, the 2 best"
    assert text == (
        "1 site where rows are dispatched\n"
        "site 'top': experts, 4 groups\n"
        f"  rows: T; router: {router}\n"
        "  nodes: h, o\n"
        f"  {effect}\n"
        f"  {note}\n"
    )
    assert found == {
        "model": model.stem,
        "sites": [
            {
                "name": "top",
                "kind": "experts",
                "groups": 4,
                "rows": "T",
                "choices": 2,
                "router": router,
                "nodes": ["h", "o"],
                "cost": [1, 1, 1, 1],
                "full_cost": 4,
                "effect": effect,
                "basis": "proof",
                "note": note,
            }
        ],
        "refused": [],
        "left_open": [],
    }


def test_an_exit_network(build, report):
    model = build.graph(exits.network(8, 3))
    text, found = report(model)
    effect = "rows that have left are taken out of the batch; later stages run on the rest"
    note = "rows that leave at 'exit0/confident', 'exit1/confident' are not computed any further"
    # The first stage and its head are needed by all.
    nodes = ["stage1/up", "stage1/down", "head1", "stage2/up", "stage2/down", "head2"]
    assert text == (
        "1 site where rows are dispatched\n"
        "site 'exit0/confident': exit, 3 groups\n"
        "  rows: B; router: a condition for each row\n"
        f"  nodes: {', '.join(nodes)}\n"
        f"  {effect}\n"
        f"  {note}\n"
    )
    (site,) = found["sites"]
    first, second, third = site.pop("cost")
    assert 0 < first < second < third == site.pop("full_cost")
    assert site == {
        "name": "exit0/confident",
        "kind": "exit",
        "groups": 3,
        "rows": "B",
        "choices": 1,
        "router": "a condition for each row",
        "nodes": nodes,
        "effect": effect,
        "basis": "proof",
        "note": note,
    }
    assert found["refused"] == [] and found["left_open"] == []


def test_a_router_that_is_an_operator(report):
    text, found = report(MODELS / "digits-moe.onnx")
    for site in found["sites"]:
        assert (site["kind"], site["rows"], site["choices"]) == ("experts", "B", 2)
        assert site["router"] == "R1: softmax, the 2 best, normalised"
        assert site["router"] in text


def test_rows_are_products_of_dimensions(build, report):
    """[B,S,D] is dispatched by token."""
    g = FORMS["gathered-weights"]()
    g.inputs.clear()
    g.input("x3", ["B", "S", 6])
    g.weight("tokens", np.array([-1, 6]))
    node = g.node("Reshape", ["x3", "tokens"], "flatten", ["x"])
    g.nodes.insert(0, g.nodes.pop())
    assert node == "x"
    g.outputs.clear()
    g.output("y", ["N", 6])
    _, found = report(build.graph(g))
    assert [site["rows"] for site in found["sites"]] == ["B*S"]


def test_what_is_refused(build, report):
    """A condition of each element, not of each row."""
    g = Graph("elements")
    g.input("x", ["B", 64])
    w = g.weight("w", np.eye(64, dtype=np.float32))
    zero = g.weight("zero", np.float32(0))
    g.node("Where", [g.node("Less", ["x", zero], "less"), "x", g.node("MatMul", ["x", w], "mm")],
           "pick", ["y"])
    g.output("y", ["B", 64])
    text, found = report(build.graph(g))
    reason = "the condition varies along other dimensions than the rows"
    assert found["sites"] == []
    assert found["refused"] == [{"kind": "skip", "nodes": ["pick"], "reason": reason, "flag": None}]
    assert text == (
        f"0 sites where rows are dispatched\nnot skipped: pick\n  {reason}\n"
    )


def test_a_layer_of_weight_zero(build, report):
    """Skipped under a row guard."""
    g = Graph("gated")
    g.input("x", ["B", 64])
    g.input("gate", ["B", 1])
    w = g.weight("w", np.eye(64, dtype=np.float32))
    layer = g.node("MatMul", ["x", w], "mm")
    weight = g.node("Relu", ["gate"], "open")
    g.node("Add", ["x", g.node("Mul", [layer, weight], "part")], "end", ["y"])
    g.output("y", ["B", 64])
    text, found = report(build.graph(g))
    effect = "the layer runs on the rows that need it"
    note = (
        "only the rows that 'open' selects are computed; by row guard: a row of weight 0 is "
        "computed, too, if an input is NaN or larger than 1.70e+38"
    )
    assert text == (
        "1 site where rows are dispatched\n"
        "site 'open': skip, 2 groups\n"
        "  rows: B; router: a condition for each row\n"
        f"  nodes: mm\n  {effect}\n  {note}\n"
    )
    (site,) = found["sites"]
    assert (site["basis"], site["note"]) == ("row guard", note)
    assert found["refused"] == []
