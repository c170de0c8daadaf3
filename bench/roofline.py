# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The limit of a cell: the longer of the time that its products take at the machine's peak
# and the time that its bytes take from the level which holds the whole layer.
import statistics
from dataclasses import dataclass

OUT_OF_CACHE = 2  # times the last level cache


@dataclass(frozen=True)
class Limit:
    compute_ms: float
    memory_ms: float
    level: str
    out_of_cache: bool

    @property
    def ms(self):
        return max(self.compute_ms, self.memory_ms)

    @property
    def binds(self):
        return "compute" if self.compute_ms >= self.memory_ms else self.level

    @property
    def balanced(self):
        """Whether the two terms are within 1.5x of each other."""
        return self.ms <= 1.5 * min(self.compute_ms, self.memory_ms)


class Rates:
    """The machine's limits, as seen in this run.

    Of peaks and caches the best that was ever seen counts. What memory gives moves with
    the hour, so it is measured around each round of a cell, and there the best counts.
    On a machine that is shared all of it moves: `now` has the medians around the rounds.
    """

    SHARE = 0.3  # of the time of a measurement of its own, for those around rounds

    def __init__(self, limits, threads):
        self.limits = limits
        self.threads = threads
        self.best = {}
        self.memory = 0.0
        self.seen = {}

    def sample(self, precision, level):
        """Measure what binds a cell; call it around each of its rounds."""
        kind = self.limits.kind(precision)
        for what in (kind, level):
            rate = self.limits.rate(what, self.threads, self.SHARE)
            self._keep(what, rate)
            self.seen.setdefault(what, []).append(rate)
        if level == "memory":
            self.memory = max(self.seen[level])

    def begin_cell(self):
        self.memory = 0.0
        self.seen = {}

    def now(self):
        """{kind or level: median rate around the rounds of the cell at hand}"""
        return {kind: statistics.median(rates) for kind, rates in self.seen.items()}

    def seed(self, row):
        for kind, value in row.items():
            if kind != "threads":
                self._keep(kind, value)

    def _keep(self, kind, value):
        self.best[kind] = max(self.best.get(kind, 0.0), value)

    def peak(self, precision):
        return self.best[self.limits.kind(precision)]

    def level(self, shape, tokens, hit, precision, fixed=False):
        """Where the weights come from: all of them, or those that one input needs."""
        size = shape.bytes(precision)
        if fixed:
            size = min(size, shape.least_bytes(tokens, hit, precision))
        return self.limits.level_of(size, self.threads)

    def limit(self, shape, tokens, hit, precision, fixed=False, memory=None, now=None):
        """`shape`: a Layer or a Chain of cells.py; `hit`: experts that have rows.

        memory: what it gave around the cell; None stands for the cell at hand.
        now: rates to take instead of the best.
        """
        size = shape.bytes(precision)
        level = self.level(shape, tokens, hit, precision, fixed)
        bandwidth = memory or self.memory if level == "memory" else self.best[level]
        peak = self.peak(precision)
        if now:
            bandwidth, peak = now[level], now[self.limits.kind(precision)]
        return Limit(
            compute_ms=1e-6 * shape.flops(tokens) / peak,
            memory_ms=1e-6 * shape.least_bytes(tokens, hit, precision) / bandwidth,
            level=level,
            out_of_cache=size > OUT_OF_CACHE * self.limits.machine["l3"],
        )
