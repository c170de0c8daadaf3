# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The trained networks as they are in the repository, the generator, the JSON form.
import json
import re

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest

from compare import CLOSE_CALL, exits_of
from conftest import MODELS, NETWORKS, ROOT
from gatecc import reference
from gatecc.models import __main__ as generator
from gatecc.models import exits, graph, moe, to_json

SIZE_LIMIT = 450_000


@pytest.fixture(scope="module")
def schema():
    text = (ROOT / "docs" / "json-schema.json").read_text()
    validator = jsonschema.Draft202012Validator
    validator.check_schema(json.loads(text))
    return validator(json.loads(text))


@pytest.mark.parametrize("name", NETWORKS)
def test_trained_network_is_small_and_accurate(name, digits):
    x, labels = digits
    assert x.shape == (360, 64) and x.dtype == np.float32
    assert x.min() >= 0 and x.max() <= 1
    for suffix in ("onnx", "safetensors"):
        assert (MODELS / f"{name}.{suffix}").stat().st_size <= SIZE_LIMIT
    logits = reference.run_onnx(MODELS / f"{name}.onnx", {"x": x}).outputs["logits"]
    assert (logits.argmax(1) == labels).mean() >= 0.96


def test_trained_experts_are_all_used_and_no_test_image_is_a_close_call(digits):
    x, _ = digits
    run = reference.run_onnx(MODELS / "digits-moe.onnx", {"x": x})
    assert len(run.plans) == 2
    for plan, margins in run.plans.values():
        assert plan.groups == 8 and (plan.counts > 0).all()
        assert plan.slots == 2 * len(x)
        assert margins.min() > CLOSE_CALL


def test_half_of_the_images_leave_early_and_none_is_a_close_call(digits):
    x, _ = digits
    path = MODELS / "digits-exit.onnx"
    run = reference.run_onnx(path, {"x": x})
    counts = np.bincount(exits_of(run, 4), minlength=4)
    assert counts[:-1].sum() >= len(x) / 2 and (counts > 0).all()
    for i in range(3):
        confidence = run.values[f"exit{i}/confidence/out"]
        threshold = run.values[f"exit{i}.threshold"]
        assert (np.abs(confidence - threshold) > CLOSE_CALL * threshold).all()


def test_exit_network_is_standard_onnx():
    model = onnx.load(MODELS / "digits-exit.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert {"Where", "Or"} <= {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("name", NETWORKS)
def test_stored_json_is_made_from_the_stored_onnx(name, schema, tmp_path):
    to_json.convert(MODELS / f"{name}.onnx", tmp_path / f"{name}.json")
    for suffix in ("json", "safetensors"):
        made = (tmp_path / f"{name}.{suffix}").read_bytes()
        assert made == (MODELS / f"{name}.{suffix}").read_bytes()
    schema.validate(json.loads((MODELS / f"{name}.json").read_text()))


def test_schema_accepts_the_documented_example(schema):
    page = (ROOT / "docs" / "json-format.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    schema.validate(json.loads(example))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("gatecc"),
        lambda d: d.update(gatecc=2),
        lambda d: d.update(extra=1),
        lambda d: d["nodes"][0].pop("name"),
        lambda d: d["nodes"][0].update(op="gate.unknown"),
        lambda d: d["nodes"][0].update(body={}),
        lambda d: d["inputs"][0].update(dtype="f23"),
        lambda d: d["inputs"][0].update(shape=[-1]),
        lambda d: d["nodes"][3]["attributes"].pop("top_k"),
        lambda d: d["nodes"][3]["attributes"].update(score="best"),
        lambda d: d["nodes"][4].pop("body"),
        lambda d: d["nodes"][4]["body"]["nodes"][0].update(op="gate.route"),
        lambda d: d["nodes"][5]["inputs"].pop(),
    ],
)
def test_schema_rejects(schema, change):
    document = json.loads((MODELS / "digits-moe.json").read_text())
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(document)


def run_onnx_runtime(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_generator_commands(tmp_path):
    def run(*arguments):
        assert generator.main([str(a) for a in arguments]) == 0

    network = tmp_path / "m.onnx"
    run("moe", "--dim", 16, "--hidden", 24, "--experts", 4, "--top-k", 2, "-o", network)
    run("moe-inputs", "--dim", 16, "--batch", 5, "-o", tmp_path / "x.npy")
    x = np.load(tmp_path / "x.npy")
    assert run_onnx_runtime(network, x).shape == (5, 16)

    results = []
    size = ["--dim", 20, "--stages", 4]
    rate = ["--batch", 30, "--rate", 0.5]
    run("exit-inputs", *size, *rate, "-o", tmp_path / "x.npy")
    x = np.load(tmp_path / "x.npy")
    for style in exits.STYLES:
        run("exit", *size, "--style", style, "-o", network)
        results.append(run_onnx_runtime(network, x))
    np.testing.assert_array_equal(*results)
    assert x.shape == (30, 20) and results[0].shape == (30, 10)


def test_generator_refuses(tmp_path, capsys):
    output = str(tmp_path / "m.onnx")
    arguments = "moe --dim 16 --hidden 24 --experts 4 --top-k 5 -o".split()
    assert generator.main([*arguments, output]) == 1
    assert "top_k" in capsys.readouterr().err
    arguments = "exit --dim 4 --stages 4 -o".split()
    assert generator.main([*arguments, output]) == 1
    assert not list(tmp_path.iterdir())


def test_generated_files_are_reproducible(tmp_path):
    for name in ("a", "b"):
        moe.network(8, 8, 2, 1, seed=3).save(tmp_path / name)
    moe.network(8, 8, 2, 1, seed=4).save(tmp_path / "c")
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_big_weights_become_external_data(tmp_path, monkeypatch):
    x = moe.make_inputs(6, 16)
    network = moe.network(16, 24, 4, 2)
    network.save(tmp_path / "embedded.onnx")
    monkeypatch.setattr(graph, "EMBED_LIMIT", 0)
    written = network.save(tmp_path / "m.onnx")
    assert [p.name for p in written] == ["m.onnx", "m.onnx.data"]
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        where = {e.key: e.value for e in tensor.external_data}
        assert int(where["offset"]) % graph.EXTERNAL_ALIGNMENT == 0
    np.testing.assert_array_equal(
        run_onnx_runtime(tmp_path / "m.onnx", x),
        run_onnx_runtime(tmp_path / "embedded.onnx", x),
    )


@pytest.mark.parametrize("activation", moe.ACTIVATIONS)
def test_generated_experts_as_json(activation, tmp_path, schema):
    moe.network(16, 24, 4, 2, activation).save(tmp_path / "m.onnx")
    to_json.convert(tmp_path / "m.onnx", tmp_path / "m.json")
    schema.validate(json.loads((tmp_path / "m.json").read_text()))
    x = moe.make_inputs(9, 16)
    np.testing.assert_allclose(
        reference.run_json(tmp_path / "m.json", {"x": x}).outputs["y"],
        reference.run_onnx(tmp_path / "m.onnx", {"x": x}).outputs["y"],
        atol=1e-12,
    )


def test_planned_exit_rates():
    planned = exits.planned_exits(512, 6, 0.5)
    assert np.bincount(planned).tolist() == [256, 128, 64, 32, 16, 16]
    assert (exits.planned_exits(7, 3, 0) == 2).all()
    assert (exits.planned_exits(7, 3, 1) == 0).all()
    with pytest.raises(ValueError, match="rate"):
        exits.planned_exits(7, 3, 1.5)
