# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Bodies of If, Loop and Scan that are no good: cycles in them and through them, values
# of another body, declared types that are not the computed ones. Each is refused with the
# node's name, or, where the file only declares too little, right.
import numpy as np
import onnx
import pytest

import gatecc
from test_control_flow import D, F32, FLAG, I64, TRIPS, X, body, info, loop, model, node, rows
from test_control_flow import refusal, step  # noqa: F401 (a fixture)


def branches(then, other=None):
    """An If; each side is (nodes, outputs)."""
    other = other or ([node("Relu", "x", "e")], ["e"])
    return node("If", "flag", "y", then_branch=body(then[0], [], then[1]),
                else_branch=body(other[0], [], other[1]))


def test_a_cycle_in_a_branch(refusal):
    inner = [node("Add", "x b", "a"), node("Neg", "a", "b")]
    text = refusal(model([branches((inner, ["a"]))], [FLAG, X], ["y"]))
    assert "the graph has a cycle: " in text and "'a'" in text and "'b'" in text


def test_a_branch_that_reads_its_own_if(refusal):
    inner = [node("Neg", "y", "a")]
    text = refusal(model([branches((inner, ["a"]))], [FLAG, X], ["y"]))
    assert "cycle" in text and "'y'" in text


def test_a_cycle_through_a_branch(refusal):
    nodes = [branches(([node("Neg", "later", "a")], ["a"])), node("Relu", "y", "later")]
    text = refusal(model(nodes, [FLAG, X], ["later"]))
    assert "cycle" in text and "'later'" in text and "'y'" in text


def test_a_branch_that_reads_the_other(refusal):
    nodes = [branches(([node("Neg", "e", "a")], ["a"]))]
    text = refusal(model(nodes, [FLAG, X], ["y"]))
    assert "'e'" in text


def test_a_value_of_a_body_outside_of_it(refusal):
    nodes = [branches(([node("Neg", "x", "a")], ["a"])), node("Relu", "a", "z")]
    text = refusal(model(nodes, [FLAG, X], ["z"]))
    assert "'a'" in text


def test_a_loop_whose_condition_is_no_bool(refusal):
    nodes = [node("Identity", "i", "goes"), node("Relu", "h", "next")]
    text = refusal(loop(nodes, "h", "goes next", ["trips", "", "x"], "y", [TRIPS, X]))
    assert "node 'y' (Loop)" in text


def test_a_trip_count_that_is_no_integer(refusal):
    trips = info("trips", F32, [])
    text = refusal(loop(step(), "h", "c next", ["trips", "", "x"], "y", [trips, X]))
    assert "node 'y' (Loop)" in text


@pytest.mark.parametrize("dtype, shape", [(I64, ["B", D]), (F32, ["B", D + 1]), (F32, ["B"])])
def test_declared_types_of_bodies(refusal, dtype, shape):
    inner = [node("Neg", "x", "a")]
    graph = body(inner, [], ["a"])
    graph.value_info.append(info("a", dtype, shape))
    m = model([node("If", "flag", "y", then_branch=graph,
                    else_branch=body([], [], ["x"]))], [FLAG, X], ["y"])
    assert "is declared as" in refusal(m)


def test_a_declared_input_of_a_body(refusal):
    m = loop(step(), "h", "c next", ["trips", "", "x"], "y", [TRIPS, X])
    (attribute,) = [a for a in m.graph.node[0].attribute if a.name == "body"]
    attribute.g.input[2].CopyFrom(info("h", I64, ["B", D]))
    assert "is declared as" in refusal(m)


@pytest.mark.parametrize("domain", ["", "com.example"])
def test_if_without_branches(refusal, domain):
    broken = node("If", "flag", "y", domain=domain)
    assert "'y'" in refusal(model([broken], [FLAG, X], ["y"]))


def test_conditions_that_are_no_value(refusal):
    broken = node("If", "", "y", then_branch=body([], [], ["x"]),
                  else_branch=body([], [], ["x"]))
    assert "'y'" in refusal(model([broken], [FLAG, X], ["y"]))


def test_a_name_that_a_body_makes_again(refusal, tmp_path):
    """ONNX asks for names of their own; a body that hides an outer one is refused or right."""
    inner = [node("Neg", "x", "t")]
    nodes = [node("Relu", "x", "t"), branches((inner, ["t"])), node("Add", "y t", "z")]
    path = tmp_path / "hides.onnx"
    onnx.save(model(nodes, [FLAG, X], ["z"]), path)
    x = rows(3)
    try:
        gatecc.compile(path, tmp_path / "m.so")
    except gatecc.CompileError as error:
        assert error.status == 1 and "'t'" in str(error)
        return
    with gatecc.load(tmp_path / "m.so") as library:
        got = library(x=x, flag=np.array(True))["z"]
        np.testing.assert_allclose(got, -x + np.maximum(x, 0), atol=1e-6)


def test_a_loop_of_no_and_of_negative_trips(tmp_path):
    """Neither runs its body."""
    path = tmp_path / "loop.onnx"
    onnx.save(loop(step(), "h", "c next", ["trips", "", "x"], "y", [TRIPS, X]), path)
    gatecc.compile(path, tmp_path / "m.so")
    x = rows(3)
    with gatecc.load(tmp_path / "m.so") as library:
        for trips in (0, -1, np.iinfo(np.int64).min):
            got = library(x=x, trips=np.array(trips, np.int64))["y"]
            np.testing.assert_array_equal(got, x)


def test_a_flag_of_another_type(tmp_path):
    path = tmp_path / "if.onnx"
    onnx.save(model([branches(([node("Neg", "x", "a")], ["a"]))], [FLAG, X], ["y"]), path)
    gatecc.compile(path, tmp_path / "m.so")
    with gatecc.load(tmp_path / "m.so") as library:
        with pytest.raises(gatecc.RunError, match="'flag'"):
            library(x=rows(3), flag=np.array(1.0, np.float32))
