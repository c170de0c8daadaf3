# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Writes what was measured: results.csv, report.md, and the pictures by picture.py.
import csv
import platform
import time
from pathlib import Path

from . import goals, picture
from .limits import LEVELS, PEAKS
from .peers import OURS, SYSTEMS
from .session import COLUMNS

DISTURBED = 0.05  # of the machine
TITLES = {
    "moe": "Mixtures of experts",
    "chain": "Chains of dense layers",
    "exit": "Early exits (the limit is the ideal)",
    "forms": "One layer in the forms of exporters",
    "router": "The router alone, from logits to plan",
}


def write(session, out, command):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    session.finish_limits()
    with open(out / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(
            file, COLUMNS, extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(session.rows)
    outcomes = goals.evaluate(session.rows, session.compiled)
    (out / "results.svg").write_text(picture.draw(session.rows))
    text = "\n".join(_lines(session, outcomes, command)) + "\n"
    (out / "report.md").write_text(text)
    return outcomes


def _lines(session, outcomes, command):
    yield "# Benchmark"
    yield ""
    yield f"`{command}`, {time.strftime('%Y-%m-%d %H:%M', time.localtime())},"
    yield f"{time.time() - session.started:.0f} s. {_cpu()}, {session.threads} threads."
    others, stolen = session.disturbance()
    yield (
        f"Of the machine, {others:.0%} went to other processes and {stolen:.0%} was stolen"
        " by its host; f32 products with all threads reached"
        f" {_scaling(session):.2f}x one thread's at the beginning."
    )
    if others > DISTURBED or stolen > DISTURBED:
        yield ""
        yield (
            "**The machine was not quiet.** Limits and times are what was left of it:"
            " do not quote them."
        )
    yield ""
    yield from _machine(session)
    yield from _systems(session)
    yield from _goals(outcomes)
    yield "![Fraction of the limit, and the best peer](results.svg)"
    for suite in TITLES:
        yield from _suite(session, suite)
    yield from _compiled(session)


def _scaling(session):
    return session.table[-1]["f32"] / session.table[0]["f32"]


def _cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _table(head, rows):
    """Lines of a Markdown table; the first column is text, the others numbers."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "|".join(["---"] + ["--:"] * (len(head) - 1)) + "|"
    for row in rows:
        yield "| " + " | ".join("" if c is None else str(c) for c in row) + " |"
    yield ""


def _machine(session):
    machine = session.limits.machine
    yield "## The machine's limits"
    yield ""
    yield (
        f"L2 {machine['l2'] >> 10} KiB per core, L3 {machine['l3'] >> 20} MiB. f32:"
        f" {machine['f32']}; bf16: {machine['bf16']}; int8: {machine['int8']}."
        " 10^9 operations (peaks) or bytes (reading) per second, before the first cell;"
        " the last line is the best of the run, which limits are made of."
    )
    yield ""
    kinds = (*PEAKS, *LEVELS)
    rows = [[r["threads"], *(f"{r[k]:.1f}" for k in kinds)] for r in session.table]
    rates = session.rates
    best = {p: rates.peak(p) for p in PEAKS} | {k: rates.best[k] for k in LEVELS}
    rows.append(["best", *(f"{best[k]:.1f}" for k in kinds)])
    yield from _table(["threads", *kinds], rows)


def _systems(session):
    yield "## The systems"
    yield ""
    for name in session.systems:
        if name in session.missing:
            state = f"left out: {session.missing[name]}"
        elif name in session.versions:
            state = session.versions[name]
        else:
            state = "had nothing to do"
        yield f"- `{name}`: {SYSTEMS[name].title}, {state}"
    wrong = [r for r in session.rows if r["status"].startswith(("wrong", "failed"))]
    for row in wrong:
        yield (
            f"- **not timed**: `{row['system']}` in {row['cell']} T={row['T']}"
            f" {row['precision']} {row['routing']}: {row['status']}"
        )
    refused = {
        (r["system"], r["precision"]): r["status"]
        for r in session.rows
        if r["status"].startswith("unsupported")
    }
    for (system, precision), status in refused.items():
        yield f"- `{system}` in {precision}: {status}"
    yield ""


def _goals(outcomes):
    yield "## Goals"
    yield ""
    words = {True: "met", False: "**missed**", None: "-"}
    yield from _table(
        ["what", "goal", "found", ""],
        [[o.what, o.goal, o.found, words[o.met]] for o in outcomes],
    )


def _number(value, digits=3):
    if value is None:
        return ""
    return f"{value:.{digits}f}" if value < 100 else f"{value:.0f}"


def _suite(session, suite):
    for precision in ("f32", "bf16", "int8", "int4"):
        rows = [
            r
            for r in session.rows
            if r["suite"] == suite and r["precision"] == precision
        ]
        if rows:
            yield ""
            yield f"## {TITLES[suite]}, {precision}"
            yield ""
            yield from _cells(rows)


def _cells(rows):
    cells = {}
    for row in rows:
        cells.setdefault(goals.key_of(row), {})[row["system"]] = row
    names = [n for n in SYSTEMS if any(r["system"] == n and r["time_ms"] for r in rows)]
    peers = [n for n in names if n not in OURS]
    others = [n for n in names if n in OURS and n != "gatecc"]
    routed = rows[0]["suite"] == "moe"
    head = ["cell", "T", "routing"]
    head += ["rows/expert", "most rows"] if routed else []
    head += ["limit ms", "binds", "gatecc ms", "of limit", "of limit now"]
    head += ["best peer", "ratio"]
    head += [f"{n} ms" for n in (*others, *peers)]
    lines = []
    for systems in cells.values():
        row = systems.get("gatecc") or next(iter(systems.values()))
        ours = systems.get("gatecc", {})
        best, ratio = goals.best_peer(systems)
        line = [row["cell"], row["T"], row["routing"]]
        if routed:
            line += [_number(row["rows_per_expert"], 1), _number(row["most_rows"], 1)]
        line += [_number(row["limit_ms"]), row["binds"], _number(ours.get("time_ms"))]
        line += [_number(ours.get(f), 2) for f in ("fraction", "fraction_now")]
        line += [best, _number(ratio, 2)]
        line += [_number(systems.get(n, {}).get("time_ms")) for n in (*others, *peers)]
        lines.append(line)
    yield from _table(head, lines)


def _compiled(session):
    if not session.compiled:
        return
    yield "## Compiling"
    yield ""
    yield from _table(
        [
            "model",
            "nodes",
            "s",
            "peak MB, anonymous and shared",
            "library MB",
            "weights MB",
        ],
        [
            [
                c["model"],
                c["nodes"],
                f"{c['seconds']:.2f}",
                f"{c['peak_bytes'] / 1e6:.0f}",
                f"{c['size_bytes'] / 1e6:.2f}",
                f"{c['weight_bytes'] / 1e6:.2f}",
            ]
            for c in session.compiled
        ],
    )
