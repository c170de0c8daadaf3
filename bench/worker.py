# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# The process in which one system runs: `python -m bench.worker SYSTEM`. Requests and
# answers are lines of JSON on standard input and what was standard output when it began.
import gc
import json
import os
import sys
import time

import numpy as np

from . import peers


class Worker:
    def __init__(self, system):
        self.peer = peers.create(system)

    def prepare(self, job):
        start = time.perf_counter()
        self.peer.prepare(job)
        return {"seconds": time.perf_counter() - start, "version": self.peer.version()}

    def feed(self, inputs):
        """Inputs: an .npy file [count,T,D], or one for each name of a further input."""
        self.peer.feed([np.array(x) for x in np.load(inputs)])
        return {}

    def result(self, index, to):
        start = time.perf_counter()
        y = self.peer.array(self.peer.run(index))
        seconds = time.perf_counter() - start
        np.save(to, np.asarray(y))
        return {"seconds": seconds}

    def time(self, indices):
        """The first run is not timed: the thread pool was asleep."""
        run, clock, taken = self.peer.run, time.perf_counter_ns, []
        gc.disable()
        run(indices[0])
        for i in indices[1:]:
            start = clock()
            run(i)
            taken.append(1e-6 * (clock() - start))
        gc.enable()
        return {"ms": taken}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if worker is None:
                worker = Worker(sys.argv[1])
            answer = getattr(worker, request.pop("do"))(**request)
        except ImportError as error:
            answer = {"error": f"not installed: {error}"}
        except peers.Refused as error:
            answer = {"error": f"unsupported: {error}"}
        except Exception as error:  # whatever a peer raises is its result
            answer = {"error": f"failed: {type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
