# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Finds the gatecc program and runs it.
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .errors import CompileError

BUNDLED = Path(__file__).resolve().parent / "bin" / "gatecc"


def find_compiler():
    """The path of the compiler: bundled with the package, else $GATECC, else on the path."""
    if BUNDLED.is_file():
        return str(BUNDLED)
    named = os.environ.get("GATECC")
    if named:
        if not os.access(named, os.X_OK) or os.path.isdir(named):
            raise CompileError(f"GATECC names {named!r}, which is no program")
        return named
    found = shutil.which("gatecc")
    if not found:
        raise CompileError(
            "the gatecc compiler was not found: it is not bundled with this package,"
            " the environment variable GATECC is not set, and it is not on the path"
        )
    return found


def compile(
    model,
    output=None,
    *,
    mcpu="native",
    compile_to="library",
    report=None,
    weights=None,
    disable=(),
    ties=None,
    assume_finite=False,
    experts=None,
    block=None,
    zero_points=False,
    calibration=None,
    verify_each=False,
    check_accesses=False,
):
    """Compile an ONNX or JSON model to a shared library; returns the library's path.

    mcpu: a CPU name, or several in a list or separated by commas, best chosen at load.
    compile_to: stop at this level; with output None the text is returned.
    report: file for the report on what will be skipped (JSON if it ends with .json).
    weights: "embed" or "file". disable: names of optimisations to leave out.
    ties: "ort-cpu" to break ties as ONNX Runtime's CPU kernel of MoE does.
    experts: the weights of routed experts as "f32", "bf16", "int8" or "int4";
    block: how many elements of a column share a scale then, 32, 64 or 128,
    and with zero_points a zero point.
    calibration: what the report measures the error of this rounding on: a path of a
    .npy file or an array, in a dict by name if the network has several inputs.
    verify_each: verify the program after each pass; check_accesses: end the process
    where a run leaves a buffer; both for work on the compiler.
    Raises CompileError with the compiler's text.
    """
    command = [find_compiler(), os.fspath(model)]
    if output is not None:
        command += ["-o", os.fspath(output)]
    elif compile_to in ("library", "obj"):
        raise TypeError(f"compile() needs an output path for {compile_to!r}")
    command.append("--mcpu=" + (mcpu if isinstance(mcpu, str) else ",".join(mcpu)))
    command.append(f"--compile-to={compile_to}")
    if report is not None:
        command.append(f"--report={os.fspath(report)}")
    if weights is not None:
        command.append(f"--weights={weights}")
    if disable:
        names = [disable] if isinstance(disable, str) else disable
        command.append("--disable=" + ",".join(names))
    if ties is not None:
        command.append(f"--ties={ties}")
    if assume_finite:
        command.append("--assume-finite")
    if experts is not None:
        command.append(f"--experts={experts}")
    if block is not None:
        command.append(f"--block={block}")
    if zero_points:
        command.append("--zero-points")
    if verify_each:
        command.append("--verify-each")
    if check_accesses:
        command.append("--check-accesses")
    with tempfile.TemporaryDirectory() as folder:
        if calibration is not None:
            command += _calibration(calibration, folder)
        done = _run(command)
    return done.stdout if output is None else Path(output)


def _calibration(inputs, folder):
    """The options for the inputs of `calibration`; arrays become files in `folder`."""
    named = inputs if isinstance(inputs, dict) else {"": inputs}
    for i, (name, value) in enumerate(named.items()):
        if isinstance(value, (str, os.PathLike)):
            file = os.fspath(value)
        else:
            file = os.path.join(folder, f"{i}.npy")
            np.save(file, np.asarray(value))
        yield f"--calibration={name}={file}" if name else f"--calibration={file}"


def _run(command):
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise CompileError(f"cannot run {command[0]}: {error.strerror}") from error
    if done.returncode:
        text = done.stderr.strip() or f"{command[0]} ended with {done.returncode}"
        raise CompileError(text, done.returncode)
    return done
