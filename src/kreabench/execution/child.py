"""What a child process of the driver does first, so that it never outlives the driver. Linux only."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the signal that the kernel sends when the thread that made this process ends."""

OOM_SCORE_ADJ = "500"
"""Out of 1000: when memory runs out, the kernel takes the worker before the driver, whose journal is the run."""

STACKS_SIGNAL = signal.SIGUSR1
"""Makes a worker write the stacks of all its threads to its log, whatever it is doing."""


def die_with_parent(parent_pid: int, *, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send `number` to this process when its parent ends, and exit now if that has happened already.

    `parent_pid` is what the parent calls itself: asking for it here would be too late. The tie is to the *thread*
    that started this process, so children are started from threads that live as long as they are needed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl(PR_SET_PDEATHSIG): {os.strerror(error)}")
    if os.getppid() != parent_pid:
        os._exit(1)


def settle(parent_pid: int) -> None:
    """Everything a worker does before it listens: die with its parent, leave Ctrl-C to it, explain crashes."""
    die_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm warns all processes of a job so; the driver is meant
    faulthandler.enable()
    faulthandler.register(STACKS_SIGNAL)
    try:
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ)
    except OSError as error:
        print(f"oom_score_adj stays as it is: {error}", file=sys.stderr)  # noqa: T201
