# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Measures several systems on the same inputs: each result is checked first, then the
# systems take turns in rounds, so that what else the machine does hits all alike.
import math
import statistics
from dataclasses import dataclass, field

import numpy as np

from . import check
from .processes import Process, WorkerError

CHECKED_ROWS = 512
MOST_RUNS = 200  # in a round
ROUNDS, FEW_ROUNDS = 7, 3
SLOW = 0.4  # seconds that a run takes from which on there are few rounds


@dataclass
class Result:
    """What came out for one system; `status` is "ok" or tells why there is no time."""

    status: str = "ok"
    error: float | None = None
    times: list = field(default_factory=list)

    @property
    def ms(self):
        return statistics.median(self.times) if self.times else None

    def columns(self):
        """Those of results.csv that need nothing but this result."""
        times = self.times
        return {
            "status": self.status,
            "time_ms": self.ms,
            "p10_ms": float(np.percentile(times, 10)) if times else None,
            "p90_ms": float(np.percentile(times, 90)) if times else None,
            "runs": len(times),
            "error": self.error,
        }


class Group:
    """Workers that are alive at the same time and take turns, all on one model."""

    def __init__(self, session):
        self.session = session
        self.processes = {}
        self.failed = {}
        self.versions = {}

    def add(self, system, job):
        threads = job["threads"]
        process = Process(system, threads)
        try:
            answer = process.ask("prepare", seconds=900, job=job | {"system": system})
        except WorkerError as error:
            self.refuse(system, str(error))
            process.close()
            return
        self.processes[system] = process
        self.versions[system] = answer["version"]

    def refuse(self, system, reason):
        self.failed[system] = reason

    @staticmethod
    def refused(reason):
        """What stands for a system that is not even asked."""
        return Result(f"unsupported: {reason}")

    def close(self):
        for process in self.processes.values():
            process.close()

    def measure(
        self,
        inputs,
        references,
        precision,
        around=lambda: None,
        fixed=False,
        only=None,
        own_references=(),
    ):
        """system -> Result. references: [(result, margins)] of the first inputs.

        around: called before, between and after all rounds, to measure limits.
        fixed: always the first input. only: these systems, all if None.
        own_references: those of systems that compute something else.
        """
        own_references = dict(own_references)
        path = self.session.folder / "inputs.npy"
        np.save(path, np.stack(inputs))
        results = {name: Result(reason) for name, reason in self.failed.items()}
        estimates = {}
        active = [n for n in self.processes if only is None or n in only]
        for name in active:
            process, own = self.processes[name], own_references.get(name, references)
            results[name] = result = Result()
            try:
                process.ask("feed", inputs=str(path))
                estimates[name] = self._check(process, own, precision, result)
            except WorkerError as error:
                result.status = str(error)
        good = [n for n in active if results[n].status == "ok"]
        rounds = ROUNDS
        if self.session.quick or any(estimates[n] > SLOW for n in good):
            rounds = FEW_ROUNDS
        position = 0
        for number in range(rounds):
            around()
            for name in good if number % 2 == 0 else reversed(good):
                share = self.session.seconds / rounds / max(estimates[name], 1e-6)
                runs = int(np.clip(math.ceil(share), 1, MOST_RUNS))
                indices = [(position + i) % len(inputs) for i in range(runs + 1)]
                position += runs + 1
                if fixed:
                    indices = [0] * len(indices)
                try:
                    answer = self.processes[name].ask("time", indices=indices)
                    results[name].times += answer["ms"]
                    estimates[name] = 1e-3 * statistics.median(answer["ms"])
                except WorkerError as error:
                    results[name] = Result(str(error))
            good = [n for n in good if results[n].status == "ok"]
        around()
        path.unlink()
        return results

    def _check(self, process, references, precision, result):
        """Sets the result's error and status; returns seconds that a run takes."""
        path = self.session.folder / f"{process.system}.npy"
        taken = []
        result.error = 0.0
        for i, (expected, margins) in enumerate(references):
            answer = process.ask("result", index=i, to=str(path))
            taken.append(answer["seconds"])
            error = check.row_error(np.load(path), expected, margins, precision)
            result.error = max(result.error, error)
        path.unlink()
        result.status = check.verdict(result.error, precision) or "ok"
        return min(taken)


def checked_count(tokens, count):
    """How many of the inputs are compared with the reference."""
    return min(count, -(-CHECKED_ROWS // tokens))
