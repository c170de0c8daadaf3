# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Early exits beside ONNX Runtime, which computes everything, and the ideal: for each
# stage the time that our own dense stage takes at as many rows as reach it. A dense stage
# is measured as a share of the same network compiled without partitions.
import numpy as np

from gatecc import reference
from gatecc.models import exits

from . import inputs, networks
from .measure import Group
from .suite_chain import add_row, start

WHOLE = ["--disable=form-groups"]  # no partitions: everything is computed
SYSTEMS = ("gatecc", "gatecc-whole", "ort")


def run(session, dims, stages, batches, rates, styles=exits.STYLES):
    for dim in dims:
        for style in styles:
            _network(session, dim, stages, batches, rates, style)


def _network(session, dim, stages, batches, rates, style):
    file = networks.exit_file(dim, stages, style, session.folder)
    cell = f"exit{dim}-{style}"
    group = Group(session)
    try:
        for system in session.systems_for("exit", "f32"):
            if system in SYSTEMS:
                options = WHOLE if system == "gatecc-whole" else ()
                start(session, group, system, "exit", cell, file, options)
        measured = {
            (batch, rate): _measure(session, group, file, dim, stages, batch, rate)
            for batch in batches
            for rate in rates
        }
        stage_ms = _dense_stages(session, group, file, dim, stages, measured)
    finally:
        group.close()
    for (batch, rate), (results, reached) in measured.items():
        ideal = None
        if all(np.isfinite([stage_ms.get(n, np.nan) for r in reached for n in r])):
            ideal = float(np.mean([sum(stage_ms[n] for n in r) for r in reached]))
        for name, result in results.items():
            add_row(
                session,
                name,
                result,
                results.get("gatecc"),
                suite="exit",
                cell=cell,
                T=batch,
                routing=f"rate {rate:g}",
                limit_ms=ideal,
                binds="ideal",
            )
        shown = ", ".join(f"{n} {r.ms:.3f}" for n, r in results.items() if r.ms)
        session.say(f"{cell} B={batch} rate {rate:g}: ideal {ideal or 0:.3f}, {shown}")


def _measure(session, group, file, dim, stages, batch, rate):
    """(system -> Result, rows that reach each stage for each input)"""
    count = inputs.pool_size(batch, dim, session.quick)
    made = [
        exits.make_inputs(batch, dim, stages, rate, 10 * i + 1) for i in range(count)
    ]
    xs = [x for x, _ in made]
    reached = [[int((e >= i).sum()) for i in range(stages)] for _, e in made]
    return group.measure(xs, _references(file, xs[:1]), "f32"), reached


def _references(file, xs):
    """[(logits, margins)]: planted exits are no close calls."""
    return [
        (reference.run_onnx(file, {"x": x}).outputs["logits"], np.full(len(x), np.inf))
        for x in xs
    ]


def _dense_stages(session, group, file, dim, stages, measured):
    """rows -> ms of one stage, of all that any cell needs."""
    if "gatecc-whole" not in group.processes:
        return {}
    needed = {n for _, reached in measured.values() for rows in reached for n in rows}
    result = {0: 0.0}
    for rows in sorted(needed - {0}):
        count = inputs.pool_size(rows, dim, session.quick)
        xs = [exits.make_inputs(rows, dim, stages, 0, i)[0] for i in range(count)]
        whole = group.measure(
            xs, _references(file, xs[:1]), "f32", only=["gatecc-whole"]
        )["gatecc-whole"]
        if whole.ms:
            result[rows] = whole.ms / stages
    return result
