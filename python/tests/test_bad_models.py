# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Models that are no good: each gives exit status 1 and a message that names the file and
# the reason (and the node, where there is one), and leaves no file behind.
import json
import shutil

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import gatecc
from conftest import MODELS
from gatecc.models import exits, graph

EXIT = MODELS / "digits-exit.onnx"


def refusal(model, output):
    """The compiler's text when it refuses `model`; nothing else may happen."""
    with pytest.raises(gatecc.CompileError) as caught:
        gatecc.compile(model, output)
    assert caught.value.status == 1, str(caught.value)
    assert not output.exists()
    assert model.name in str(caught.value)
    return str(caught.value)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder / "m.so"
    assert not list(folder.iterdir())


@pytest.fixture
def changed(tmp_path):
    """Writes a small exit network after `change(model)`."""
    exits.network(8, 3).save(tmp_path / "good.onnx")

    def write(change):
        model = onnx.load(tmp_path / "good.onnx")
        change(model)
        path = tmp_path / "bad.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def node(model, name):
    return next(n for n in model.graph.node if n.name == name)


def weight(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def test_the_unchanged_network_compiles(changed, tmp_path):
    gatecc.compile(changed(lambda m: None), tmp_path / "m.so")


@pytest.mark.parametrize("name", ["m.onnx", "m.json"])
@pytest.mark.parametrize("content", [b"", b"\0", b"\x08", b"{", b"[]", b"\xff" * 100])
def test_no_model_at_all(tmp_path, out, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    refusal(path, out)


def test_files_that_are_none(tmp_path, out):
    refusal(tmp_path / "missing.onnx", out)
    (tmp_path / "folder.onnx").mkdir()
    refusal(tmp_path / "folder.onnx", out)
    (tmp_path / "model.txt").write_text("a model")
    refusal(tmp_path / "model.txt", out)


def survives(path, output):
    """Compiles or refuses, and neither crashes nor hangs."""
    try:
        gatecc.compile(path, output)
    except gatecc.CompileError as error:
        assert error.status == 1, str(error)
        assert not output.exists()
    output.unlink(missing_ok=True)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 282_000))
def test_truncated_onnx(tmp_path, length):
    path = tmp_path / "cut.onnx"
    path.write_bytes(EXIT.read_bytes()[:length])
    survives(path, tmp_path / "m.so")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_onnx(tmp_path, small_network, seed):
    rng = np.random.default_rng(seed)
    content = np.frombuffer(small_network, np.uint8).copy()
    # The weights are most of the file; damage what is not weights.
    places = rng.integers(0, len(content), rng.integers(1, 9))
    content[places] = rng.integers(0, 256, len(places))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content.tobytes())
    survives(path, tmp_path / "m.so")


@pytest.fixture(scope="module")
def small_network(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "m.onnx"
    exits.network(4, 2).save(path)
    return path.read_bytes()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_json(tmp_path, seed):
    rng = np.random.default_rng(seed)
    text = bytearray((MODELS / "digits-moe.json").read_bytes())
    for place in rng.integers(0, len(text), rng.integers(1, 4)):
        text[place] = rng.choice(np.frombuffer(b'{}[],:"@0x \n', np.uint8))
    shutil.copy(MODELS / "digits-moe.safetensors", tmp_path)
    path = tmp_path / "damaged.json"
    path.write_bytes(bytes(text))
    survives(path, tmp_path / "m.so")


def _cycle(m):
    node(m, "stage0/up").input[0] = "stage0/down/out"


def _dangling(m):
    node(m, "stage1/up").input[0] = "nowhere"


def _twice(m):
    node(m, "stage1/up").output[0] = "stage0/up/out"


def _weight_twice(m):
    m.graph.initializer.append(weight(m, "stage0/up.weight"))


def _no_output(m):
    m.graph.output[0].name = "nowhere"


def _unknown_operator(m):
    node(m, "stage0/relu").op_type = "Frobnicate"


def _two_unknown(m):
    node(m, "stage0/relu").op_type = "Frobnicate"
    node(m, "stage1/relu").op_type = "Defenestrate"


def _unknown_domain(m):
    node(m, "stage0/relu").domain = "com.example"
    m.opset_import.append(helper.make_opsetid("com.example", 1))


def _rank(m):
    weight(m, "stage0/up.weight").dims[:] = [8, 4, 8]


def _extent(m):
    weight(m, "stage0/up.weight").dims[:] = [32, 8]


def _size(m):
    weight(m, "stage0/up.weight").dims[:] = [8, 33]


def _negative(m):
    weight(m, "stage0/up.weight").dims[:] = [-8, -32]


def _huge(m):
    weight(m, "stage0/up.weight").dims[:] = [2**62, 8]


def _dtype(m):
    weight(m, "stage0/up.weight").data_type = TensorProto.STRING


def _complex(m):
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.COMPLEX64


def _mixed(m):
    m.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def _attribute(m):
    node(m, "exit0/softmax").attribute[0].i = 7


def _old_opset(m):
    m.opset_import[0].version = 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_cycle, ["stage0/up"]),
        (_dangling, ["stage1/up", "nowhere"]),
        (_twice, ["stage0/up/out"]),
        (_weight_twice, ["stage0/up.weight"]),
        (_no_output, ["nowhere"]),
        (_unknown_operator, ["stage0/relu", "Frobnicate"]),
        (_two_unknown, ["stage0/relu", "Frobnicate", "stage1/relu", "Defenestrate"]),
        (_unknown_domain, ["stage0/relu", "com.example"]),
        (_rank, ["stage0/up"]),
        (_extent, ["stage0/up"]),
        (_size, ["stage0/up.weight"]),
        (_negative, ["stage0/up.weight"]),
        (_huge, ["stage0/up.weight"]),
        (_dtype, ["stage0/up.weight"]),
        (_complex, ["x"]),
        (_mixed, ["stage0/up"]),
        (_attribute, ["exit0/softmax"]),
        (_old_opset, ["7"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_onnx(changed, out, change, words):
    text = refusal(changed(change), out)
    for word in words:
        assert word in text


@pytest.fixture
def external(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "EMBED_LIMIT", 0)
    folder = tmp_path / "model"
    folder.mkdir()
    exits.network(8, 3).save(folder / "bad.onnx")
    return folder / "bad.onnx"


def test_external_data_missing_or_short(external, out):
    data = external.with_name("bad.onnx.data")
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    assert data.name in refusal(external, out)
    data.unlink()
    assert data.name in refusal(external, out)
    data.mkdir()
    refusal(external, out)


@pytest.mark.parametrize(
    "place", ["../outside.data", "absolute", "sub/../../outside.data"]
)
def test_external_data_outside_the_folder(external, out, place):
    data = external.with_name("bad.onnx.data")
    outside = external.parent.parent / "outside.data"
    data.rename(outside)
    (external.parent / "sub").mkdir()
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = str(outside) if place == "absolute" else place
    external.write_bytes(model.SerializeToString())
    assert "outside" in refusal(external, out)


def test_external_data_outside_through_a_link(external, out):
    data = external.with_name("bad.onnx.data")
    outside = external.parent.parent / "outside.data"
    data.rename(outside)
    data.symlink_to(outside)
    refusal(external, out)


def test_external_data_beyond_its_file(external, out):
    model = onnx.load(external, load_external_data=False)
    for key, value in (("offset", 2**63 - 4), ("length", 2**62), ("offset", -4)):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for entry in changed.graph.initializer[0].external_data:
            if entry.key == key:
                entry.value = str(value)
        external.write_bytes(changed.SerializeToString())
        refusal(external, out)


@pytest.fixture
def json_model(tmp_path):
    """Writes digits-moe.json after `change(document)`."""
    shutil.copy(MODELS / "digits-moe.safetensors", tmp_path)

    def write(change):
        document = json.loads((MODELS / "digits-moe.json").read_text())
        change(document)
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(document, indent=1))
        return path

    return write


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("gatecc"), ["gatecc"]),
        (lambda d: d.update(gatecc=2), ["/gatecc"]),
        (lambda d: d.update(extra=1), ["extra"]),
        (lambda d: d.update(nodes=3), ["/nodes"]),
        (lambda d: d.update(outputs=["nowhere"]), ["nowhere"]),
        (lambda d: d.update(weights="missing.safetensors"), ["missing.safetensors"]),
        (lambda d: d.update(weights="../outside.safetensors"), ["outside"]),
        (lambda d: d["inputs"][0].update(dtype="f23"), ["/inputs/0/dtype"]),
        (lambda d: d["inputs"][0].update(shape=["B", -1]), ["/inputs/0/shape/1"]),
        (lambda d: d["nodes"][0].pop("op"), ["/nodes/0"]),
        (lambda d: d["nodes"][0].update(op="gate.unknown"), ["gate.unknown"]),
        (lambda d: d["nodes"][0].update(inputs=["nowhere"]), ["/nodes/0", "nowhere"]),
        (lambda d: d["nodes"][0].update(inputs=["x", "@none"]), ["none"]),
        (lambda d: d["nodes"][0].update(outputs=["x"]), ["/nodes/0"]),
        (lambda d: d["nodes"][1].update(name="embed"), ["embed"]),
        (lambda d: d["nodes"][1].update(color="red"), ["/nodes/1", "color"]),
        (lambda d: d["nodes"][3]["attributes"].update(top_k=9), ["block0/experts"]),
        (lambda d: d["nodes"][3]["attributes"].update(top_k=0), ["/nodes/3"]),
        (lambda d: d["nodes"][3]["attributes"].update(top_k="2"), ["/nodes/3"]),
        (lambda d: d["nodes"][3]["attributes"].update(score="best"), ["/score"]),
        (lambda d: d["nodes"][4].pop("body"), ["/nodes/4"]),
        (lambda d: d["nodes"][4]["body"].update(result="none"), ["none"]),
        (
            lambda d: d["nodes"][4]["body"]["params"].update(gate="@embed.weight"),
            ["/nodes/4"],
        ),
        (lambda d: d["nodes"][5].update(inputs=["x", "x"]), ["block0/experts/combine"]),
    ],
)
def test_wrong_json(json_model, out, change, words):
    text = refusal(json_model(change), out)
    for word in words:
        assert word in text
    assert "line" in text or any(c.isdigit() for c in text)


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 5000])
def test_truncated_safetensors(json_model, tmp_path, out, keep):
    weights = tmp_path / "digits-moe.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    assert weights.name in refusal(json_model(lambda d: None), out)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{",
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}',
        b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8000]}}',
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}',
    ],
)
def test_wrong_safetensors(json_model, tmp_path, out, header):
    content = len(header).to_bytes(8, "little") + header + bytes(8)
    (tmp_path / "digits-moe.safetensors").write_bytes(content)
    refusal(json_model(lambda d: None), out)


def test_safetensors_with_a_huge_header(json_model, tmp_path, out):
    (tmp_path / "digits-moe.safetensors").write_bytes(b"\xff" * 8 + b"{}")
    refusal(json_model(lambda d: None), out)
