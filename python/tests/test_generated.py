# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Generated networks of many sizes, compiled: sizes that are no multiple of any tile, all
# activations and styles, weights beside the library, external data.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gatecc
from compare import assert_close, assert_plans, assert_same_bits, exits_of
from gatecc import reference
from gatecc.models import exits, graph, moe, to_json

SIZES = [  # dim, hidden, experts, top_k
    (1, 1, 1, 1),
    (8, 16, 3, 3),
    (17, 31, 5, 2),
    (64, 33, 8, 1),
    (65, 96, 9, 4),
    (130, 257, 4, 2),
]


@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
@pytest.mark.parametrize("size", SIZES, ids=lambda s: "-".join(map(str, s)))
def test_experts(build, size, activation):
    dim, _, experts, top_k = size
    path = build.graph(moe.network(*size, activation, seed=sum(size)))
    x = moe.make_inputs(50, dim, seed=1)
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        clear = assert_plans(lib, run, x)
        y = lib(x=x)["y"]
        (site,) = lib.stats()["sites"]
    assert clear.mean() > 0.8
    assert_close(y[clear], run.outputs["y"][clear])
    assert sum(site["groups"]) == 50 * top_k
    assert site["skipped"] == pytest.approx(1 - top_k / experts)


@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
def test_dense_form_runs_as_written(build, activation):
    """Raised or not, a plain graph computes what it says."""
    path = build.graph(moe.network(24, 30, 4, 2, activation, "dense"))
    x = moe.make_inputs(40, 24)
    expected = reference.run_onnx(path, {"x": x}).outputs["y"]
    with build.load(path) as lib:
        assert_close(lib(x=x)["y"], expected)


@settings(max_examples=12)
@given(
    dim=st.integers(1, 70),
    hidden=st.integers(1, 70),
    experts=st.integers(1, 12),
    batch=st.integers(0, 80),
    activation=st.sampled_from(moe.ACTIVATIONS),
    data=st.data(),
)
def test_experts_of_any_size(build, dim, hidden, experts, batch, activation, data):
    top_k = data.draw(st.integers(1, experts))
    layers = data.draw(st.integers(1, 2))
    network = moe.network(dim, hidden, experts, top_k, activation, layers=layers)
    path = build.graph(network)
    x = moe.make_inputs(batch, dim, seed=2)
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        clear = assert_plans(lib, run, x) if batch else np.ones(0, bool)
        assert_close(lib(x=x)["y"][clear], run.outputs["y"][clear])


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("style", exits.STYLES)
@pytest.mark.parametrize(("dim", "stages"), [(6, 2), (24, 4), (37, 7)])
def test_exits(build, dim, stages, style, activation):
    path = build.graph(exits.network(dim, stages, style, activation))
    with build.load(path) as lib:
        for rate in (0.0, 0.5, 1.0):
            x, planned = exits.make_inputs(60, dim, stages, rate)
            run = reference.run_onnx(path, {"x": x})
            np.testing.assert_array_equal(exits_of(run, stages), planned)
            assert_close(lib(x=x)["logits"], run.outputs["logits"])
            (site,) = lib.stats()["sites"]
            assert site["groups"] == np.bincount(planned, minlength=stages).tolist()
            share = (planned + 1).mean() / stages
            assert site["skipped"] == pytest.approx(1 - share, abs=0.05)


@settings(max_examples=15)
@given(
    rates=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    batch=st.integers(1, 90),
    seed=st.integers(0, 1000),
    style=st.sampled_from(exits.STYLES),
)
def test_any_exit_rate(build, five_stages, rates, batch, seed, style):
    path = five_stages[style]
    x, planned = exits.make_inputs(batch, 30, 5, rates, seed)
    run = reference.run_onnx(path, {"x": x})
    with build.load(path) as lib:
        assert_close(lib(x=x)["logits"], run.outputs["logits"])
        (site,) = lib.stats()["sites"]
    assert site["groups"] == np.bincount(planned, minlength=5).tolist()


@pytest.fixture(scope="module")
def five_stages(build):
    return {s: build.graph(exits.network(30, 5, s)) for s in exits.STYLES}


def test_styles_give_the_same_bits(build, five_stages):
    x, _ = exits.make_inputs(80, 30, 5, 0.3)
    with build.load(five_stages["running"]) as a, build.load(
        five_stages["nested"]
    ) as b:
        assert_same_bits(a(x=x), b(x=x))


@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
def test_json_form_of_a_generated_network(build, tmp_path, activation):
    path = build.graph(moe.network(33, 20, 5, 2, activation))
    to_json.convert(path, tmp_path / "m.json")
    x = moe.make_inputs(40, 33)
    with build.load(path) as a, build.load(tmp_path / "m.json") as b:
        assert_same_bits(a(x=x), b(x=x))


def test_external_data(build, tmp_path, monkeypatch):
    network = moe.network(32, 48, 4, 2)
    embedded = build.graph(network)
    monkeypatch.setattr(graph, "EMBED_LIMIT", 0)
    network.save(tmp_path / "m.onnx")
    x = moe.make_inputs(20, 32)
    with build.load(embedded) as a, build.load(tmp_path / "m.onnx") as b:
        assert_same_bits(a(x=x), b(x=x))


def test_weights_beside_the_library(build, tmp_path):
    path = build.graph(moe.network(32, 48, 4, 2))
    x = moe.make_inputs(20, 32)
    library = tmp_path / "m.so"
    gatecc.compile(path, library, weights="file")
    (weights,) = (p for p in tmp_path.iterdir() if p != library)
    with build.load(path) as embedded:
        expected = embedded(x=x)
        assert weights.stat().st_size >= embedded.weight_bytes
    with gatecc.load(library) as lib:
        assert_same_bits(lib(x=x), expected)
    moved = tmp_path / "elsewhere"
    weights.rename(moved)
    with pytest.raises(gatecc.RunError, match=weights.name) as caught:
        gatecc.load(library)
    assert caught.value.status == gatecc.abi.WEIGHTS
    with gatecc.load(library, weights=moved) as lib:
        assert_same_bits(lib(x=x), expected)
    content = bytearray(moved.read_bytes())
    content[-1] ^= 1
    for damaged in (content, content[:-100], b""):
        weights.write_bytes(damaged)
        with pytest.raises(gatecc.RunError) as caught:
            gatecc.load(library)
        assert caught.value.status == gatecc.abi.WEIGHTS
