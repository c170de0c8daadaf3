# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What a run of the benchmark shares: options, folders, the machine's limits, the rows
# that become the CSV file and the report.
import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from . import peers
from .limits import Limits
from .roofline import Rates

# The columns of results.csv; README.md says what they mean.
COLUMNS = (
    "suite cell T precision routing threads system status time_ms p10_ms p90_ms runs"
    " limit_ms binds fraction fraction_now balanced out_of_cache experts_hit rows_per_expert"
    " most_rows gatecc_ms ratio error"
).split()
# Not written: rows of each expert for each input; what the limits are computed from; the form
# of an export, and how much longer the limit is where every expert has every row.
UNWRITTEN = ("histograms", "shape", "memory", "now", "form", "dense_share")
# A worker takes up to this many times the weights.
WORKER_MEMORY = 2.0


@dataclass
class Session:
    folder: Path
    threads: int
    systems: list
    seconds: float
    quick: bool = False
    rows: list = field(default_factory=list)
    compiled: list = field(default_factory=list)  # what compiling took
    versions: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)

    def __post_init__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        milliseconds = 40 if self.quick else 200
        self.limits = Limits(self.folder, milliseconds)
        self.rates = Rates(self.limits, self.threads)
        self.started = time.time()
        self.cpu_before = _cpu_times()
        self.load = os.getloadavg()

    def disturbance(self):
        """(share of the machine that others used since the beginning, share stolen)

        Call it when all workers have ended: only then their time is known.
        """
        busy, stolen, total = (b - a for a, b in zip(self.cpu_before, _cpu_times()))
        own = 0.0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            used = resource.getrusage(who)
            own += used.ru_utime + used.ru_stime
        ticks = os.sysconf("SC_CLK_TCK")
        others = max(0.0, busy / ticks - own)
        return others * ticks / max(total, 1), stolen / max(total, 1)

    def measure_machine(self):
        self.table = self.limits.table(self.threads)
        self.rates.seed(self.table[-1])

    def say(self, text):
        print(f"[{time.time() - self.started:6.0f} s] {text}", flush=True)

    def systems_for(self, kind, precision, skip=()):
        """Those that have a form for it, ours first."""
        return [
            name
            for name in self.systems
            if name not in skip
            and peers.SYSTEMS[name].form(kind, precision) is not None
        ]

    def groups_of(self, names, weight_bytes):
        """Lists of systems that fit in memory together, gatecc in each."""
        room = 0.6 * psutil.virtual_memory().available
        at_once = max(2, int(room / (WORKER_MEMORY * weight_bytes + (200 << 20))))
        # Libraries are mapped: all of ours share one copy.
        first = [n for n in names if n in peers.OURS]
        each = [n for n in first if n == "gatecc"]
        others = [n for n in names if n not in first]
        size = max(1, at_once - 1)
        parts = [others[i : i + size] for i in range(0, len(others), size)] or [[]]
        return [(first if i == 0 else each) + part for i, part in enumerate(parts)]

    def add_row(self, **values):
        unknown = values.keys() - {*COLUMNS, *UNWRITTEN}
        assert not unknown, unknown
        row = dict.fromkeys((*COLUMNS, *UNWRITTEN)) | values
        self.rows.append(row)
        return row

    def finish_limits(self):
        """Fill in limits, now that the best that the machine can do has been seen."""
        for row in self.rows:
            if row["shape"] is None:
                continue
            cell = {
                "shape": row["shape"],
                "tokens": row["T"],
                "hit": row["experts_hit"] or 1,
                "precision": row["precision"],
                "fixed": row["routing"] == "fixed",
            }
            limit = self.rates.limit(**cell, memory=row["memory"])
            row["limit_ms"] = limit.ms
            row["binds"] = limit.binds
            row["balanced"] = limit.balanced
            row["out_of_cache"] = limit.out_of_cache
            if row["time_ms"]:
                row["fraction"] = limit.ms / row["time_ms"]
                now = self.rates.limit(**cell, now=row["now"])
                row["fraction_now"] = now.ms / row["time_ms"]

    def note_missing(self, system, reason):
        if reason.startswith("not installed"):
            self.missing[system] = reason


def _cpu_times():
    """(busy, stolen, total) of the whole machine in ticks."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, idle, waiting, hard, soft, stolen = map(int, fields)
    busy = user + nice + system + hard + soft
    return busy, stolen, busy + idle + waiting + stolen
