"""Turns into another program that ends when the process that started it ends, however that ends.

Run as a file by testbed.processes: ``python leash.py PARENT_PID PROGRAM ARGUMENT...``. It is a program of
its own because code between fork and exec is not safe in a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's death, then become the program."""
    parent, program, *arguments = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    # The parent may have died before the request: then no signal will ever come.
    if os.getppid() != int(parent):
        sys.exit("The process that started this one is gone.")
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main()
