# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A disk that is full, which is a small tmpfs: no result, no remains, and a message that
# names the file. (That old files stay is in test/Driver/output.test.)
import subprocess

import pytest

import gatecc
from conftest import MODELS

# In namespaces of its own, so that the disk goes with the process, and root is not needed
# where a user may have namespaces. Of the disk's contents it prints what is left.
SCRIPT = """
mount -t tmpfs -o size="$1" tmpfs "$2" || { echo "cannot mount a tmpfs" >&2; exit 77; }
cd "$2"; shift 2
"$@"
status=$?
ls -A
exit $status
"""


def on_small_disk(size, folder, *command):
    """Runs the command in `folder`, where a disk of `size` is mounted."""
    for namespaces in (["--mount"], ["--mount", "--map-root-user"]):
        done = subprocess.run(
            ["unshare", *namespaces, "sh", "-c", SCRIPT, "sh", size, folder, *command],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        if done.returncode != 77 and "unshare" not in done.stderr:
            return done
    pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


# The smaller disk is too small for the code, the larger one for the weights.
@pytest.mark.parametrize("size", ["16k", "256k"])
@pytest.mark.parametrize("options", [[], ["--weights=file"]], ids=["embedded", "file"])
def test_compile_to_full_disk(tmp_path, size, options):
    model = MODELS / "digits-moe.onnx"
    done = on_small_disk(
        size, tmp_path, gatecc.find_compiler(), model, "-o", "full.so", *options
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("gatecc: error: cannot write '")
    assert "full." in done.stderr
    assert done.stderr.strip().endswith("No space left on device")
    assert done.stdout == "", "what is left on the disk"


def test_disk_is_large_enough(tmp_path):
    """The tests above fail for lack of space, and for nothing else."""
    model = MODELS / "digits-moe.onnx"
    done = on_small_disk("16m", tmp_path, gatecc.find_compiler(), model, "-o", "full.so")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "full.so\n"
