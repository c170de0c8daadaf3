# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Mixtures of experts: every cell with gatecc and every peer that has the precision.
import functools

import numpy as np

from . import cells, inputs, networks, peers
from .measure import Group, checked_count

OURS_ALONE = ("same",)  # routings that are compared with our own dense layers
OURS_THERE = ("gatecc", "gatecc-dense")


def run(session, layers, tokens, precisions, routings):
    for name in layers:
        _expect(session, cells.LAYERS[name], tokens, routings)
        for precision in precisions:
            _layer(session, cells.LAYERS[name], precision, tokens, routings)


def _layer(session, layer, precision, tokens, routings):
    names = session.systems_for("moe", precision)
    pooled, separate = {}, {}
    try:
        for systems in session.groups_of(names, layer.bytes(precision)):
            for key, cell in _group(
                session, layer, precision, systems, tokens, routings
            ):
                _merge(pooled, separate, key, cell)
    finally:  # what there is counts in an interrupted run, too
        for (count, routing), results in pooled.items():
            _rows(session, layer, precision, count, routing, results, separate)


def _group(session, layer, precision, systems, tokens, routings):
    """Yields ((tokens, routing), cell) of systems that are alive at the same time."""
    group = Group(session)
    try:
        for system in systems:
            _start(session, group, system, layer, precision)
        session.versions |= group.versions
        for system, reason in group.failed.items():
            session.say(f"{layer.name} {precision}: {system}: {reason}")
            session.note_missing(system, reason)
        for count in tokens:
            for routing in routings:
                ours_alone = routing in OURS_ALONE
                if not wanted(routing, count):
                    continue
                if "gatecc" in group.processes or not ours_alone:
                    cell = _cell(session, group, layer, precision, count, routing)
                    yield (count, routing), cell
    finally:
        group.close()


def _expect(session, layer, tokens, routings):
    """Compute what is expected before workers take up the memory."""
    weights = functools.cache(lambda: networks.moe_weights(layer))
    for count in tokens:
        for routing in routings:
            if wanted(routing, count):
                inputs_of(session, layer, count, routing, weights)


def inputs_of(session, layer, tokens, routing, weights=None):
    """(inputs, what is expected of the first of them)"""
    router = networks.router_of(layer, session.folder)
    count = inputs.pool_size(tokens, layer.dim, session.quick)
    count = 1 if routing == "fixed" else count
    kind = "random" if routing == "fixed" else routing
    xs = inputs.make(layer, router, tokens, kind, count)
    checked, key = xs[: checked_count(tokens, count)], f"{kind}{tokens}"
    return xs, networks.moe_expected(layer, checked, key, session.folder, weights)


def wanted(routing, tokens):
    """Which cells there are: not every routing makes sense for every T."""
    if routing == "fixed":
        return tokens == 1
    return routing != "skewed" or tokens >= 16


def _start(session, group, system, layer, precision):
    form = peers.SYSTEMS[system].form("moe", precision)
    job = {
        "kind": "moe",
        "precision": precision,
        "threads": 1 if system == "gatecc-1" else session.threads,
        "layer": layer.name,
        "file": None,
    }
    session.say(f"{layer.name} {precision}: {system} is prepared")
    try:
        if form in ("library", "one"):
            if form == "one":
                model = networks.one_expert_file(layer, session.folder)
            else:
                model = networks.moe_file(layer, "contrib", session.folder)
            options = [] if precision == "f32" else _quantised(precision)
            path, _ = networks.compiled(model, session.folder, options)
            job["file"] = str(path)
        elif form:
            job["file"] = str(networks.moe_file(layer, form, session.folder))
    except networks.Unsupported as error:
        group.refuse(system, f"unsupported: {error}")
        return
    group.add(system, job)


def _quantised(precision):
    block = [] if precision == "bf16" else [f"--block={cells.BLOCK}"]
    return [f"--experts={precision}", *block]


def _cell(session, group, layer, precision, tokens, routing):
    """(results, best rate of memory, medians of rates, plans) of a group's systems."""
    router = networks.router_of(layer, session.folder)
    xs, references = inputs_of(session, layer, tokens, routing)
    plans = [inputs.plan_of(layer, router, x)[0].counts for x in xs]
    hit = float(np.mean([(p > 0).sum() for p in plans]))
    rates, fixed = session.rates, routing == "fixed"
    level = rates.level(layer, tokens, hit, precision, fixed)
    rates.begin_cell()
    own = {}
    if routing in OURS_ALONE:
        only = OURS_THERE
        if "gatecc-dense" in group.processes:
            alone = [networks.one_expert_expected(layer, x) for x in xs[:1]]
            own = {"gatecc-dense": alone}
    else:
        only = [n for n in group.processes if n != "gatecc-dense"]
    results = group.measure(
        xs,
        references,
        precision,
        around=lambda: rates.sample(precision, level),
        fixed=fixed,
        only=only,
        own_references=own,
    )
    limit = rates.limit(layer, tokens, hit, precision, fixed)
    shown = ", ".join(f"{n} {r.ms:.3f}" for n, r in results.items() if r.ms)
    session.say(
        f"{layer.name} {precision} T={tokens} {routing}:"
        f" limit {limit.ms:.3f} ({limit.binds}), {shown}"
    )
    return results, rates.memory, rates.now(), plans


def _merge(pooled, separate, key, cell):
    """Pool gatecc's times over groups; keep beside each peer those of its own group."""
    results, memory, now, plans = cell
    fresh = {"results": {}, "memory": 0.0, "now": now, "plans": plans}
    kept = pooled.setdefault(key, fresh)
    kept["memory"] = max(kept["memory"], memory)
    ours = results.get("gatecc")
    for name, result in results.items():
        if name in kept["results"]:
            kept["results"][name].times += result.times
        else:
            kept["results"][name] = result
        separate[key, name] = ours.ms if ours else None


def _rows(session, layer, precision, tokens, routing, kept, separate):
    plans = np.array(kept["plans"])
    for name, result in kept["results"].items():
        if routing in OURS_ALONE and name not in OURS_THERE:
            continue
        if routing not in OURS_ALONE and name == "gatecc-dense":
            continue
        ours = separate[(tokens, routing), name]
        times = result.times
        slots = tokens * layer.top_k
        hit = float((plans > 0).sum(1).mean())
        session.add_row(
            suite="moe",
            cell=layer.name,
            T=tokens,
            precision=precision,
            routing=routing,
            threads=1 if name == "gatecc-1" else session.threads,
            system=name,
            shape=layer,
            memory=kept["memory"],
            now=kept["now"],
            experts_hit=hit,
            rows_per_expert=slots / hit,
            most_rows=float(plans.max(1).mean()),
            gatecc_ms=ours if name not in peers.OURS else None,
            ratio=result.ms / ours if ours and times and name != "gatecc" else None,
            **result.columns(),
            histograms=plans.tolist(),
        )
