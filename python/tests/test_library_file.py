# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A compiled library as a file: what it needs, what it exports, that it is written whole or
# not at all, and that it works where there is nothing but libc.
import os
import re
import resource
import stat
import subprocess
import sys

import pytest

import gatecc
from conftest import MODELS

ALLOWED = {"libc.so.6", "libm.so.6"}


def output_of(*command):
    return subprocess.run(
        [str(c) for c in command], check=True, capture_output=True, text=True
    ).stdout


def test_needs_libc_and_libm_only(build, network):
    dynamic = output_of("readelf", "-d", build.path(network))
    assert set(re.findall(r"NEEDED.*\[(.*)\]", dynamic)) <= ALLOWED
    assert (
        "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic
    )


def test_exports_one_symbol(build, network):
    symbols = output_of("nm", "-D", "--defined-only", build.path(network))
    assert [line.split()[-1] for line in symbols.splitlines()] == ["gatecc_get_library"]


def test_no_executable_stack_or_writable_code(build, network):
    segments = output_of("readelf", "-lW", build.path(network))
    flags = re.findall(r"^\s+(LOAD|GNU_STACK)\s.*?\s([R ][W ][E ])\s", segments, re.M)
    assert flags and not any("W" in f and "E" in f for _, f in flags)


def test_tells_no_paths_of_the_machine(build, network):
    content = build.path(network).read_bytes()
    for path in (str(MODELS), str(build.folder), os.path.expanduser("~") + "/"):
        assert path.encode() not in content


@pytest.mark.parametrize("weights", ["embed", "file"])
def test_a_file_size_limit_leaves_nothing(tmp_path, network, weights):
    code = (
        "import resource, sys, gatecc\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    gatecc.compile(sys.argv[1], sys.argv[2], weights=sys.argv[3])\n"
        "except gatecc.CompileError as error:\n"
        "    print(error)\n"
        "    sys.exit(0 if error.status == 1 else 1)\n"
        "sys.exit(2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, network, tmp_path / "m.so", weights],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "m.so" in done.stdout
    assert not list(tmp_path.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_unwritable_output(tmp_path, network):
    for output in (tmp_path / "no" / "m.so", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(gatecc.CompileError) as caught:
            gatecc.compile(network, output)
        assert caught.value.status == 1
    assert not list(tmp_path.iterdir())


def test_an_earlier_library_stays_whole_when_compilation_fails(tmp_path, network):
    library = tmp_path / "m.so"
    library.write_bytes(b"earlier")
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x0a" + b"\xff" * 30)
    with pytest.raises(gatecc.CompileError):
        gatecc.compile(tmp_path / "bad.onnx", library)
    assert library.read_bytes() == b"earlier"
    gatecc.compile(network, library)
    assert library.read_bytes()[:4] == b"\x7fELF"
    assert {p.name for p in tmp_path.iterdir()} == {"m.so", "bad.onnx"}


def test_replacing_a_library_that_is_loaded(tmp_path, network, digits):
    x = digits[0][:5]
    library = tmp_path / "m.so"
    gatecc.compile(network, library)
    with gatecc.load(library) as lib:
        before = lib(x=x)["logits"].tobytes()
        gatecc.compile(network, library)
        assert lib(x=x)["logits"].tobytes() == before
    mode = stat.S_IMODE(library.stat().st_mode)
    assert mode & 0o444 == 0o444 & ~_umask()


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value
