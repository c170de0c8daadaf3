# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The same input gives the same bits, for any number of threads and in any batch; the same
# model gives the same library.
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gatecc
from compare import assert_same_bits, one_by_one
from conftest import MODELS, NETWORKS
from gatecc.models import exits, moe


@pytest.fixture(scope="module")
def networks(build, digits):
    """Name -> (library's path, rows of input)."""
    made = {name: (build.path(MODELS / f"{name}.onnx"), digits[0]) for name in NETWORKS}
    graph = moe.network(36, 50, 7, 3, layers=2)  # nothing is a multiple of a tile
    made["odd-moe"] = build.path(build.graph(graph)), moe.make_inputs(70, 36)
    graph = exits.network(37, 4, "nested")
    rows, _ = exits.make_inputs(70, 37, 4, 0.4)
    made["odd-exit"] = build.path(build.graph(graph)), rows
    return made


NAMES = [*NETWORKS, "odd-moe", "odd-exit"]


@pytest.mark.parametrize("name", NAMES)
def test_threads(networks, name):
    path, x = networks[name]
    expected = None
    for threads in (1, 2, 3, 8):
        with gatecc.load(path, threads=threads) as lib:
            for rows in (x, x, x[:1]):
                result = lib(x=rows)
                if expected is None:
                    expected = result
                first = {n: a[: len(rows)] for n, a in expected.items()}
                assert_same_bits(result, first)


@pytest.mark.parametrize("name", NAMES)
def test_whole_and_one_by_one(networks, name):
    path, x = networks[name]
    with gatecc.load(path, threads=2) as lib:
        whole = lib(x=x)
        single, _ = one_by_one(lib, x)
    assert_same_bits(single, whole)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32 - 1), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=15)
def test_random_pieces_in_random_order(networks, name, seed, threads):
    path, x = networks[name]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    cuts = np.sort(rng.integers(0, len(x) + 1, rng.integers(0, 12)))
    with gatecc.load(path, threads=threads) as lib:
        whole = lib(x=x)
        for piece in np.split(order, cuts):
            assert_same_bits(lib(x=x[piece]), {n: a[piece] for n, a in whole.items()})


@pytest.mark.parametrize("name", NAMES)
def test_statistics_change_nothing(networks, name):
    path, x = networks[name]
    with gatecc.load(path) as a, gatecc.load(path, statistics=False) as b:
        assert_same_bits(a(x=x), b(x=x))


@pytest.mark.parametrize("weights", ["embed", "file"])
@pytest.mark.parametrize("suffix", ["onnx", "json"])
def test_the_same_library(tmp_path, network, suffix, weights):
    copies = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        for file in MODELS.glob(f"{network.stem}.*"):
            shutil.copy(file, folder)
        source = folder / f"{network.stem}.{suffix}"
        gatecc.compile(source, folder / "m.so", weights=weights)
        made = {p.name for p in folder.iterdir()} - {
            p.name for p in MODELS.glob(f"{network.stem}.*")
        }
        copies.append({name: (folder / name).read_bytes() for name in made})
    assert copies[0] == copies[1]
    assert len(copies[0]) == (1 if weights == "embed" else 2)
