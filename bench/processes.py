# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Workers seen from the outside: started, asked, and stopped by a signal while it is not
# their turn, because the idle threads of some systems spin.
import atexit
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = ROOT / "build" / "peers" / "bin" / "python"
PR_SET_PDEATHSIG = 1
_running = set()


class WorkerError(Exception):
    """The system cannot do it, or its process ended; the text says which."""


def python_of(system):
    """gatecc runs in the Python of the harness, peers where they were installed."""
    own = system.startswith("gatecc") or not PEERS_PYTHON.is_file()
    return sys.executable if own else str(PEERS_PYTHON)


def environment(threads=1):
    """Finds bench and gatecc, and the libraries of PyTorch; BLAS has `threads` threads."""
    result = dict(os.environ)
    for name in ("OMP", "MKL", "OPENBLAS"):
        result[f"{name}_NUM_THREADS"] = str(threads)
    paths = [str(ROOT), str(ROOT / "python")]
    result["PYTHONPATH"] = os.pathsep.join(paths)
    # PyTorch without its CUDA packages finds the toolkit's libraries here.
    folders = list(Path("/usr/local/cuda/targets/x86_64-linux").glob("lib"))
    folders += PEERS_PYTHON.parent.parent.glob("lib/python*/site-packages/nvidia/*/lib")
    folders = [str(f) for f in folders] + [result.get("LD_LIBRARY_PATH", "")]
    result["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
    return result


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    def __init__(self, system, threads):
        self.system = system
        self.threads = threads
        self.stopped = False
        self.process = subprocess.Popen(
            [python_of(system), "-m", "bench.worker", system],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(threads),
            cwd=ROOT,
            preexec_fn=_die_with_parent,
        )
        self.buffer = b""
        _running.add(self)

    def ask(self, do, seconds=600, **request):
        """Wake the worker, let it do something, put it to sleep."""
        if self.process.poll() is not None:
            raise WorkerError("failed: its process has ended")
        self._wake()
        line = json.dumps({"do": do} | request) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            raise WorkerError("failed: its process has ended") from None
        answer = json.loads(self._read_line(seconds))
        self._sleep()
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _read_line(self, seconds):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                if not selector.select(seconds):
                    self.close()
                    raise WorkerError(f"failed: no answer within {seconds} s")
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                if not data:
                    status = self.process.wait()
                    raise WorkerError(f"failed: its process ended with {status}")
                self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def _wake(self):
        if self.stopped:
            self.process.send_signal(signal.SIGCONT)
            self.stopped = False

    def _sleep(self):
        self.process.send_signal(signal.SIGSTOP)
        self.stopped = True

    def close(self):
        _running.discard(self)
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@atexit.register
def _close_all():
    for process in list(_running):
        process.close()
