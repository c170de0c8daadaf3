# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The Python package against the real runtime with a program written by hand
# (stub/program.c): names, dtypes, DLPack, errors, statistics, life time.
import _ctypes
import ctypes
import os
import shutil
import subprocess
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import gatecc
from gatecc import abi

HERE = Path(__file__).resolve().parent
RUNTIME = HERE.parents[1] / "runtime"


def cxx():
    compilers = (os.environ.get("CXX"), "clang++-22", "clang++", "g++")
    return next(c for c in compilers if c and shutil.which(c))


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stub")
    flags = ["-O1", "-fPIC", "-fvisibility=hidden", f"-I{RUNTIME}"]
    flags += [f"-I{RUNTIME.parent / 'include'}", f"-I{RUNTIME.parent}"]
    program = folder / "program.o"
    source = HERE / "stub" / "program.c"
    subprocess.run([cxx(), "-x", "c", *flags, "-c", source, "-o", program], check=True)
    library = folder / "stub.so"
    sources = sorted(RUNTIME.glob("*.cpp"))
    subprocess.run(
        [cxx(), "-std=c++17", *flags, "-shared", *sources, program, "-o", library],
        check=True,
    )
    return library


@pytest.fixture
def lib(stub):
    with gatecc.load(stub, threads=2) as library:
        yield library


def arrays(batch):
    rng = np.random.default_rng(batch)
    return {
        "in.1": rng.standard_normal((batch, 4), np.float32),
        "half": rng.standard_normal(batch).astype(np.float16),
        "brain": rng.standard_normal(batch).astype(ml_dtypes.bfloat16),
        "flag": rng.standard_normal(batch) > 0,
        "count": rng.integers(-9, 9, 2 * batch),
    }


def outputs_of(inputs):
    names = {"in.1": "out.1"}
    return {names.get(n, f"{n}_out"): a for n, a in inputs.items()}


def test_describes_itself(lib):
    assert lib.name == "stub"
    assert [(t.name, t.dtype, t.shape) for t in lib.inputs] == [
        ("in.1", "f32", ("B", 4)),
        ("half", "f16", ("B",)),
        ("brain", "bf16", ("B",)),
        ("flag", "bool", ("B",)),
        ("count", "i64", ("2*B",)),
    ]
    assert [t.name for t in lib.outputs][0] == "out.1"
    assert lib.symbols == ("B",)
    assert [(s.name, s.kind, s.groups) for s in lib.sites] == [("pick", "exit", 2)]
    assert lib.targets == ("x86-64",)
    assert "in.1: f32[B, 4]" in repr(lib)


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_runs_every_dtype(lib, batch):
    inputs = arrays(batch)
    results = lib(inputs)
    for name, expected in outputs_of(inputs).items():
        assert results[name].dtype == expected.dtype
        np.testing.assert_array_equal(results[name], expected)


def test_keywords_and_dict_together(lib):
    inputs = arrays(3)
    half = inputs.pop("half")
    np.testing.assert_array_equal(lib(inputs, half=half)["half_out"], half)


def test_bf16_as_uint16(lib):
    inputs = arrays(3)
    expected = inputs["brain"]
    inputs["brain"] = expected.view(np.uint16)
    np.testing.assert_array_equal(lib(inputs)["brain_out"], expected)


def test_bf16_without_ml_dtypes(stub, monkeypatch):
    monkeypatch.setattr(gatecc.tensors, "BF16", np.dtype(np.uint16))
    inputs = arrays(3)
    inputs["brain"] = inputs["brain"].view(np.uint16)
    with gatecc.load(stub) as library:
        result = library(inputs)["brain_out"]
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, inputs["brain"])


class OnlyDLPack:
    """A tensor of some other package."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_any_dlpack_tensor(lib):
    inputs = arrays(3)
    expected = inputs["in.1"]
    inputs["in.1"] = OnlyDLPack(expected)
    np.testing.assert_array_equal(lib(inputs)["out.1"], expected)


def test_contiguous_inputs_are_not_copied():
    x = np.zeros((3, 4), np.float32)
    assert gatecc.tensors.as_array("x", x) is x
    shared = gatecc.tensors.as_array("x", OnlyDLPack(x))
    assert shared.ctypes.data == x.ctypes.data


def test_other_layouts_are_copied(lib):
    inputs = arrays(4)
    expected = inputs["in.1"]
    for layout in (np.asfortranarray(expected), np.repeat(expected, 2, 0)[::2]):
        inputs["in.1"] = layout
        np.testing.assert_array_equal(lib(inputs)["out.1"], expected)


def test_results_outlive_the_library(stub):
    inputs = arrays(3)
    with gatecc.load(stub) as library:
        first = library(inputs)
        library(arrays(3) | {"in.1": np.zeros((3, 4), np.float32)})
    np.testing.assert_array_equal(first["out.1"], inputs["in.1"])


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("in.1", np.zeros((3, 4)), "in.1"),  # f64
        ("in.1", np.zeros((3, 4), np.int32), "in.1"),
        ("in.1", np.zeros((3, 4), ">f4"), "in.1"),  # big-endian
        ("in.1", np.array([["a"] * 4] * 3), "in.1"),
        ("in.1", [[1.0] * 4] * 3, "in.1"),  # a list is f64
        ("in.1", np.zeros((3, 5), np.float32), "in.1"),
        ("in.1", np.zeros(3, np.float32), "in.1"),
        ("half", np.zeros(4, np.float16), "B"),  # B is 3 elsewhere
        ("half", np.zeros(3, np.uint16), "half"),  # bits of bf16 only
        ("half", np.zeros(3, ml_dtypes.bfloat16), "half"),
        ("count", np.zeros(7, np.int64), "count"),  # no 2*B
        ("wrong", np.zeros(3, np.float32), "wrong"),
    ],
)
def test_wrong_inputs(lib, name, value, text):
    with pytest.raises(gatecc.RunError, match=text) as caught:
        lib(arrays(3) | {name: value})
    assert caught.value.status == abi.INVALID_ARGUMENT
    inputs = arrays(3)  # and the library still works
    np.testing.assert_array_equal(lib(inputs)["out.1"], inputs["in.1"])


def test_missing_input(lib):
    inputs = arrays(3)
    del inputs["flag"]
    with pytest.raises(gatecc.RunError, match="flag"):
        lib(inputs)


def test_statistics(lib):
    inputs = arrays(4)
    inputs["in.1"][:, 0] = [1, -1, 2, 3]
    lib(inputs)
    assert lib.stats() == {
        "sites": [
            {
                "name": "pick",
                "kind": "exit",
                "rows": 4,
                "groups": [3, 1],
                "skipped": 1 - (3 * 1 + 1 * 2) / (4 * 2),
            }
        ]
    }
    lib(arrays(0))
    (site,) = lib.stats()["sites"]
    assert (site["rows"], site["groups"], site["skipped"]) == (0, [0, 0], 0)


def test_statistics_can_be_off(stub):
    with gatecc.load(stub, statistics=False) as library:
        library(arrays(3))
        with pytest.raises(gatecc.RunError):
            library.stats()


def test_memory(lib):
    assert lib.memory(B=10) == {
        "arena": 1280,
        "inputs": 10 * (16 + 2 + 2 + 1 + 16),
        "outputs": 10 * (16 + 2 + 2 + 1 + 16),
    }
    for wrong in ({}, {"C": 1}, {"B": -1}):
        with pytest.raises(gatecc.RunError):
            lib.memory(**wrong)


def test_closed(stub):
    library = gatecc.load(stub)
    library.close()
    library.close()
    for use in (lambda: library(arrays(1)), library.stats, lambda: library.memory(B=1)):
        with pytest.raises(gatecc.RunError, match="closed"):
            use()


def test_not_a_library(tmp_path):
    for content in (b"", b"\x7fELF", b"text"):
        path = tmp_path / "no.so"
        path.write_bytes(content)
        with pytest.raises(gatecc.RunError, match="no.so"):
            gatecc.load(path)
    with pytest.raises(gatecc.RunError, match="missing.so"):
        gatecc.load(tmp_path / "missing.so")


def test_a_library_of_something_else():
    with pytest.raises(gatecc.RunError, match="no library made by gatecc"):
        gatecc.load(_ctypes.__file__)


def test_two_libraries_in_two_threads(stub):
    failures = []

    def work(seed):
        with gatecc.load(stub, threads=1) as library:
            for batch in range(1, 30):
                inputs = arrays(batch + seed)
                if not np.array_equal(library(inputs)["out.1"], inputs["in.1"]):
                    failures.append(batch)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_finding_the_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(gatecc.compiler, "BUNDLED", tmp_path / "gatecc")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("GATECC", raising=False)
    with pytest.raises(gatecc.CompileError, match="GATECC is not set"):
        gatecc.find_compiler()
    programs = [tmp_path / "path" / "gatecc", tmp_path / "named", tmp_path / "gatecc"]
    for program in programs:
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho refused >&2\nexit 1\n")
        program.chmod(0o755)
        if program.name == "named":
            monkeypatch.setenv("GATECC", str(program))
        assert gatecc.find_compiler() == str(program)
    with pytest.raises(gatecc.CompileError, match="^refused$") as caught:
        gatecc.compile("m.onnx", tmp_path / "m.so")
    assert caught.value.status == 1
    programs[-1].unlink()
    monkeypatch.setenv("GATECC", str(tmp_path / "nothing"))
    with pytest.raises(gatecc.CompileError, match="nothing"):
        gatecc.find_compiler()


def test_structs_are_those_of_the_header(tmp_path):
    structs = {
        "gatecc_library": abi.LibraryTable,
        "gatecc_options": abi.Options,
        "gatecc_named_tensor": abi.NamedTensor,
        "gatecc_tensor_info": abi.TensorInfo,
        "gatecc_site_info": abi.SiteInfo,
        "gatecc_target_info": abi.TargetInfo,
        "gatecc_dim": abi.Dim,
        "gatecc_binding": abi.Binding,
        "gatecc_memory": abi.Memory,
        "DLTensor": abi.DLTensor,
    }
    lines, expected = [], []
    for name, struct in structs.items():
        lines.append(f'printf("%zu\\n", sizeof({name}));')
        expected.append(ctypes.sizeof(struct))
        for field, _ in struct._fields_:
            lines.append(f'printf("%zu\\n", offsetof({name}, {field}));')
            expected.append(getattr(struct, field).offset)
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <gatecc/runtime.h>\n#include <stdio.h>\n"
        f"int main(void) {{ {' '.join(lines)} return 0; }}\n"
    )
    program = tmp_path / "layout"
    include = f"-I{RUNTIME.parent / 'include'}"
    command = [cxx(), "-x", "c", "-std=c99", include, source, "-o", program]
    subprocess.run(command, check=True)
    output = subprocess.run([program], capture_output=True, text=True, check=True)
    assert list(map(int, output.stdout.split())) == expected
