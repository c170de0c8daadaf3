# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Runs a command and expects an exit status; prints both of its outputs:
#   status.py [--limit BYTES] STATUS command...
import resource
import subprocess
import sys

arguments = sys.argv[1:]
if arguments[0] == "--limit":
    size = int(arguments[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    arguments = arguments[2:]
done = subprocess.run(
    arguments[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
)
# Through a pipe, which a file-size limit does not concern.
print(done.stdout)
if done.returncode != int(arguments[0]):
    sys.exit(f"exit status {done.returncode}, expected {arguments[0]}")
