# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The goals, each as a function of the rows of a run, and whether they are met.
import math
import statistics
from dataclasses import dataclass

from .peers import OURS

CHECKED_AGAINST = ("torch", "torch-grouped")  # whose bf16 products are oneDNN's


@dataclass
class Outcome:
    """`met` is None where the run has nothing to tell it from."""

    what: str
    goal: str
    found: str
    met: bool | None


class Rows:
    """The rows of a run by cell: key -> system -> row, for rows with a time."""

    def __init__(self, rows):
        self.cells = {}
        for row in rows:
            if row["status"] == "ok" and row["time_ms"]:
                self.cells.setdefault(key_of(row), {})[row["system"]] = row

    def ours(self, **wanted):
        """Rows of gatecc; a wanted value may be a function of the row's."""
        for systems in self.cells.values():
            row = systems.get("gatecc")
            if row and all(
                (v(row[k]) if callable(v) else row[k] == v) for k, v in wanted.items()
            ):
                yield row

    def ratio(self, row, among=None):
        """How much longer the best peer takes than gatecc; None without a peer."""
        return best_peer(self.cells[key_of(row)], among)[1]


def key_of(row):
    return tuple(row[k] for k in ("suite", "cell", "T", "precision", "routing"))


def best_peer(systems, among=None):
    """(name, time over gatecc's) of the fastest peer in a cell, or (None, None)."""
    ratios = [
        (row["ratio"], name)
        for name, row in systems.items()
        if name not in OURS and row["ratio"] and (among is None or name in among)
    ]
    return min(ratios)[::-1] if ratios else (None, None)


def evaluate(rows, compiled):
    table = Rows(rows)
    outcomes = []
    judges = (_f32, _bf16, _quantised, _routing, _router, _chain, _exit, _forms)
    for judge in (*judges, _threads):
        outcomes += judge(table)
    return outcomes + list(_compile(compiled))


def geomean(values):
    return math.exp(statistics.mean(map(math.log, values))) if values else None


def _at_least(what, goal, values, bound, pick=min, bind="{:.2f}"):
    """pick(values) >= bound; values: [(value, name of the cell)]"""
    values = list(values)
    if not values:
        return Outcome(what, goal, "not measured", None)
    if pick is min:
        value, name = min(values)
        missed = sum(v < bound for v, _ in values)
        found = (
            f"{bind.format(value)} in {name}; {missed} of {len(values)} cells miss it"
        )
    else:
        value = pick([v for v, _ in values])
        found = f"{bind.format(value)} over {len(values)} cells"
    return Outcome(what, goal, found, value >= bound)


def _at_most(what, goal, values, bound):
    values = list(values)
    if not values:
        return Outcome(what, goal, "not measured", None)
    value, name = max(values)
    missed = sum(v > bound for v, _ in values)
    found = f"{value:.2f} in {name}; {missed} of {len(values)} cells miss it"
    return Outcome(what, goal, found, value <= bound)


def _name(row):
    routing = "" if row["routing"] in ("random", "-") else f" {row['routing']}"
    return f"{row['cell']} T={row['T']} {row['precision']}{routing}"


def _fractions(rows):
    return [(row["fraction"], _name(row)) for row in rows]


def _ratios(table, rows, among=None):
    found = [(table.ratio(row, among), _name(row)) for row in rows]
    return [(ratio, name) for ratio, name in found if ratio]


def _routed(table, precision, tokens, **more):
    routing = more.pop("routing", lambda r: r in ("random", "skewed"))
    return list(
        table.ours(suite="moe", precision=precision, T=tokens, routing=routing, **more)
    )


def _middle(tokens):
    return tokens in (64, 128, 512)


def _f32(table):
    large = _routed(table, "f32", lambda t: t >= 64)
    small = _routed(table, "f32", lambda t: t <= 16, out_of_cache=True)
    apart = [r for r in large if not r["balanced"]]
    near = [r for r in large if r["balanced"]]
    what = "f32, T >= 64"
    yield _at_least(
        what, "median >= 0.90 of the limit", _fractions(large), 0.9, statistics.median
    )
    yield _at_least(what, "each >= 0.80 of the limit", _fractions(apart), 0.8)
    yield _at_least(
        what, "each >= 0.70 where the terms are close", _fractions(near), 0.7
    )
    what = "f32, best peer"
    middle = _ratios(table, _routed(table, "f32", _middle))
    yield _at_least(what, "geomean >= 1.4, T = 64, 128, 512", middle, 1.4, geomean)
    every = _ratios(table, _routed(table, "f32", lambda t: True))
    yield _at_least(what, "each >= 0.97", every, 0.97)
    what = "f32, T <= 16, out of cache"
    yield _at_least(what, "each >= 0.92 of the limit", _fractions(small), 0.92)


def _bf16(table):
    large = _routed(table, "bf16", lambda t: t >= 64)
    yield _at_least(
        "bf16, T >= 64", "each >= 0.75 of the limit", _fractions(large), 0.75
    )
    middle = _ratios(table, _routed(table, "bf16", _middle), CHECKED_AGAINST)
    what = "bf16, PyTorch"
    yield _at_least(what, "geomean >= 1.3, T = 64, 128, 512", middle, 1.3, geomean)
    yield _at_least(what, "each >= 0.97", middle, 0.97)


def _quantised(table):
    for precision in ("int8", "int4"):
        large = _routed(table, precision, lambda t: t >= 128)
        one = _routed(table, precision, 1, out_of_cache=True)
        fixed = _routed(table, precision, 1, routing="fixed")
        yield _at_least(
            f"{precision}, T >= 128",
            "each >= 0.55 of the limit",
            _fractions(large),
            0.55,
        )
        qmoe = _ratios(table, large, ("ort-contrib",))
        yield _at_least(f"{precision}, QMoE", "geomean >= 2.2", qmoe, 2.2, geomean)
        yield _at_least(
            f"{precision}, T = 1, out of cache",
            "each >= 0.92 of the limit",
            _fractions(one),
            0.92,
        )
        yield _at_least(
            f"{precision}, T = 1, fixed input",
            "each >= 1.1x the best peer",
            _ratios(table, fixed),
            1.1,
        )


def _routing(table):
    """Skewed routing against the experts one by one, "same" against dense layers."""
    curves = {}  # (cell, precision) -> {rows: ms of one expert}
    for row in table.ours(suite="moe", routing="same"):
        one = row["time_ms"] / row["experts_hit"]
        curves.setdefault((row["cell"], row["precision"]), {})[row["T"]] = one
    skewed = []
    for row in table.ours(suite="moe", routing="skewed"):
        curve = curves.get((row["cell"], row["precision"]))
        if curve and row["histograms"]:
            alone = statistics.mean(
                sum(_interpolate(curve, rows) for rows in counts if rows)
                for counts in row["histograms"]
            )
            skewed.append((row["time_ms"] / alone, _name(row)))
    yield _at_most("skewed routing", "<= 1.1x the experts alone", skewed, 1.1)
    same = []
    for row in table.ours(suite="moe", routing="same"):
        dense = table.cells[key_of(row)].get("gatecc-dense")
        if dense:
            time = row["time_ms"] / (row["experts_hit"] * dense["time_ms"])
            same.append((time, _name(row)))
    yield _at_most("the same k experts", "<= 1.05x k dense layers", same, 1.05)


def _interpolate(curve, rows):
    """Linear between the numbers of rows that were measured, through 0 beyond them."""
    known = sorted(curve)
    low = max((n for n in known if n <= rows), default=None)
    high = min((n for n in known if n >= rows), default=None)
    if low is None:
        return curve[high]  # one row costs what the fewest measured cost
    if high is None:
        return curve[low] * rows / low
    if low == high:
        return curve[low]
    return curve[low] + (curve[high] - curve[low]) * (rows - low) / (high - low)


def _router(table):
    shares = []
    for row in table.ours(suite="router", T=lambda t: t >= 64):
        for layer in table.ours(
            suite="moe", cell=row["cell"], T=row["T"], precision="f32", routing="random"
        ):
            shares.append((100 * row["time_ms"] / layer["time_ms"], _name(row)))
    yield _at_most("router, T >= 64", "<= 3 % of the layer", shares, 3)


def _chain(table):
    rows = list(table.ours(suite="chain"))
    yield _at_least("dense chain, best peer", "each >= 1.0", _ratios(table, rows), 1)


def _exit(table):
    large = list(table.ours(suite="exit", T=lambda t: t >= 64, fraction=bool))
    one = list(table.ours(suite="exit", T=1, fraction=bool))
    what = "early exit"
    yield _at_least(
        f"{what}, batch >= 64", "each >= 0.93 of the ideal", _fractions(large), 0.93
    )
    over = [(row["time_ms"] / row["limit_ms"], _name(row)) for row in one]
    yield _at_most(f"{what}, batch 1", "<= 1.03x the stages needed", over, 1.03)
    never = []
    for row in table.ours(suite="exit", routing="rate 0"):
        whole = table.cells[key_of(row)].get("gatecc-whole")
        if whole:
            never.append((row["time_ms"] / whole["time_ms"], _name(row)))
    yield _at_most(f"{what} that never happens", "<= 1.03x no partition", never, 1.03)


def _forms(table):
    def of(*forms):
        return list(table.ours(suite="forms", form=lambda f: f in forms))

    over = []
    for row in table.ours(suite="forms"):
        contrib = table.cells[key_of(row)].get("gatecc-contrib")
        if contrib:
            over.append((row["time_ms"] / contrib["time_ms"], _name(row)))
    yield _at_most("forms of exports", "<= 1.03x the MoE operator", over, 1.03)
    what = "forms F2 and F7, best peer"
    sorted_ = _ratios(table, of("grouped", "unrolled"))
    yield _at_least(what, "geomean >= 1.4", sorted_, 1.4, geomean)
    yield _at_least(what, "each >= 0.97", sorted_, 0.97)
    dense = [
        (ratio / row["dense_share"], _name(row))
        for row in of("batched")
        if (ratio := table.ratio(row))
    ]
    goal = "each >= 0.85x what the limits differ by"
    yield _at_least("form F5, best peer", goal, dense, 0.85)
    largest = {}  # the cell with most tokens that a peer can run
    for row in of("gathered"):
        if table.ratio(row) and row["T"] >= largest.get(row["cell"], row)["T"]:
            largest[row["cell"]] = row
    fast = [r for r in largest.values() if r["binds"] == "compute"]
    slow = [r for r in largest.values() if r["binds"] != "compute"]
    what = "form F1, largest T of the best peer"
    yield _at_least(what, "each >= 20x where compute binds", _ratios(table, fast), 20)
    yield _at_least(what, "each >= 0.85 of the limit else", _fractions(slow), 0.85)


def _threads(table):
    values = [
        (table.cells[key_of(row)]["gatecc-1"]["ratio"], _name(row))
        for row in table.ours(suite="moe", binds="compute", T=lambda t: t >= 64)
        if "gatecc-1" in table.cells[key_of(row)] and row["threads"] == 2
    ]
    yield _at_least("two threads, compute-bound", "each >= 1.9x one", values, 1.9)


def _compile(compiled):
    for one in compiled:
        name, weights = one["model"], one["weight_bytes"]
        seconds = one["seconds"]
        bound = {"olmoe": 25.0}.get(name, 0.5 if name.startswith("digits") else None)
        if name in ("unrolled 48x128", "grouped 48x128"):
            bound = 30.0
        if bound:
            yield Outcome(
                f"compile {name}", f"< {bound:g} s", f"{seconds:.2f} s", seconds < bound
            )
        if one["nodes"]:
            continue
        extra = one["size_bytes"] - 1.02 * weights
        yield Outcome(
            f"size of {name}",
            "< 1.02x the weights + 300 KB",
            f"{one['size_bytes'] / 1e6:.2f} MB for {weights / 1e6:.2f} MB",
            extra < 300e3,
        )
        if name == "olmoe":
            share = one["peak_bytes"] / weights
            yield Outcome(
                f"memory to compile {name}",
                "< 1.2x the weights",
                f"{share:.2f}x",
                share < 1.2,
            )
