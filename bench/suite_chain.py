# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Chains of dense layers, which is what a routed layer with one group comes down to.
import numpy as np

from . import cells, inputs, networks
from .measure import Group, checked_count


def run(session, chains, tokens):
    for name in chains:
        _chain(session, cells.CHAINS[name], tokens)


def _chain(session, chain, tokens):
    file = networks.chain_file(chain, session.folder)
    group = Group(session)
    try:
        for system in session.systems_for("chain", "f32", skip=("gatecc-1",)):
            session.say(f"{chain.name}: {system} is prepared")
            start(session, group, system, "chain", chain.name, file)
        for count in tokens:
            _cell(session, group, chain, count)
    finally:
        group.close()


def start(session, group, system, kind, name, file, options=()):
    """Have a system load an f32 model; gatecc compiles it first."""
    job = {"kind": kind, "precision": "f32", "threads": session.threads, "layer": name}
    try:
        if system.startswith("gatecc"):
            file, _ = networks.compiled(file, session.folder, options)
    except networks.Unsupported as error:
        group.refuse(system, f"unsupported: {error}")
    else:
        group.add(system, job | {"file": str(file)})
    session.versions |= group.versions
    if system in group.failed:
        session.say(f"{name}: {system}: {group.failed[system]}")
        session.note_missing(system, group.failed[system])


def _cell(session, group, chain, tokens):
    count = inputs.pool_size(tokens, chain.dim, session.quick)
    rng = np.random.default_rng(tokens)
    xs = list(rng.standard_normal((count, tokens, chain.dim), np.float32))
    checked = xs[: checked_count(tokens, count)]
    references = [
        (networks.chain_expected(chain, x), np.full(tokens, np.inf)) for x in checked
    ]
    rates = session.rates
    level = rates.level(chain, tokens, 1, "f32")
    rates.begin_cell()
    results = group.measure(
        xs, references, "f32", around=lambda: rates.sample("f32", level)
    )
    limit = rates.limit(chain, tokens, 1, "f32")
    ours = results.get("gatecc")
    for name, result in results.items():
        add_row(
            session,
            name,
            result,
            ours,
            suite="chain",
            cell=chain.name,
            T=tokens,
            routing="-",
            shape=chain,
            memory=rates.memory,
            now=rates.now(),
        )
    shown = ", ".join(f"{n} {r.ms:.3f}" for n, r in results.items() if r.ms)
    session.say(f"{chain.name} T={tokens}: limit {limit.ms:.3f}, {shown}")


def add_row(session, name, result, ours, limit_ms=None, **values):
    """A row of an f32 cell, with what follows from its times."""
    times = result.times
    session.add_row(
        precision="f32",
        threads=session.threads,
        system=name,
        limit_ms=limit_ms,
        fraction=limit_ms / result.ms if times and limit_ms else None,
        gatecc_ms=ours.ms if ours and name != "gatecc" else None,
        ratio=(
            result.ms / ours.ms
            if name != "gatecc" and ours and ours.ms and times
            else None
        ),
        **result.columns(),
        **values,
    )
