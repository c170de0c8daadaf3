# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What a run of the benchmark shares: options, folders, the machine's limits, the rows
# that become the CSV file and the report.
import os
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
    " limit_ms binds fraction balanced out_of_cache experts_hit rows_per_expert"
    " most_rows gatecc_ms ratio error"
).split()
UNWRITTEN = ("histograms",)  # rows of each expert, for each input
# A worker takes up to this many times the weights.
WORKER_MEMORY = 3.0


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
        self.load = os.getloadavg()

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
            if name not in skip and peers.SYSTEMS[name].form(kind, precision) is not None
        ]

    def groups_of(self, names, weight_bytes):
        """Lists of systems that fit in memory together, gatecc in each."""
        room = 0.6 * psutil.virtual_memory().available
        at_once = max(2, int(room / (WORKER_MEMORY * weight_bytes + (200 << 20))))
        ours = [n for n in names if n == "gatecc"]
        others = [n for n in names if n != "gatecc"]
        size = max(1, at_once - len(ours))
        parts = [others[i : i + size] for i in range(0, len(others), size)] or [[]]
        return [ours + part for part in parts]

    def add_row(self, **values):
        unknown = values.keys() - {*COLUMNS, *UNWRITTEN}
        assert not unknown, unknown
        row = dict.fromkeys((*COLUMNS, *UNWRITTEN)) | values
        self.rows.append(row)
        return row

    def note_missing(self, system, reason):
        if reason.startswith("not installed"):
            self.missing[system] = reason
