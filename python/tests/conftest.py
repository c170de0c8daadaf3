# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Fixtures of all tests. Tests that compile need the compiler in $GATECC (or bundled, or
# on the path) and fail without it.
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import gatecc

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
NETWORKS = ("digits-moe", "digits-exit")

hypothesis.settings.register_profile(
    "gatecc", deadline=None, max_examples=25, derandomize=True, database=None
)
hypothesis.settings.load_profile("gatecc")


@pytest.fixture(scope="session")
def digits():
    """The 360 test images and their labels."""
    with np.load(MODELS / "digits-test.npz") as data:
        return data["x"], data["labels"]


class Builder:
    """Compiles models, each with the same options once; loads the libraries."""

    def __init__(self, folder, options):
        self.folder = folder
        self.options = options
        self.made = {}

    def path(self, model, **options):
        key = str(model), repr(sorted(options.items()))
        if key not in self.made:
            path = self.folder / f"{len(self.made)}-{Path(model).stem}.so"
            gatecc.compile(model, path, **self.options | options)
            self.made[key] = path
        return self.made[key]

    def load(self, model, threads=2, **options):
        return gatecc.load(self.path(model, **options), threads=threads)

    def graph(self, graph):
        """Where `graph`, a gatecc.models.graph.Graph, has been written to."""
        path = self.folder / f"graph{len(list(self.folder.glob('graph*.onnx')))}.onnx"
        graph.save(path)
        return path


def pytest_addoption(parser):
    parser.addoption(
        "--check-accesses",
        action="store_true",
        help="have the libraries end the process where a run leaves a buffer",
    )


@pytest.fixture(scope="session")
def build(tmp_path_factory, request):
    gatecc.find_compiler()
    options = {
        "verify_each": True,
        "check_accesses": request.config.getoption("--check-accesses"),
    }
    return Builder(tmp_path_factory.mktemp("build"), options)


@pytest.fixture(params=NETWORKS)
def network(request):
    return MODELS / f"{request.param}.onnx"
