"""What a forked worker does before its work: it undoes its parent's signal handling and ties its
life to the parent's; and how it ends.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

log = logging.getLogger("tillgate.supervisor")

WorkerMain = Callable[[int, socket.socket], int]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
LEAVE = signal.SIGUSR1  # from the parent: it will soon tell us to stop
PR_SET_PDEATHSIG = 1  # linux/prctl.h

_ready_pipe: int | None = None  # in a worker: where it tells the parent that it serves


def report_ready() -> None:
    """Called by a worker that serves; does nothing in a process that no supervisor started."""
    global _ready_pipe  # noqa: PLW0603  a process has one parent
    if _ready_pipe is not None:
        os.write(_ready_pipe, b"r")
        os.close(_ready_pipe)
        _ready_pipe = None


def become_worker(
    parent: int, ready_pipe: int, others: list[int | None], mask: set[signal.Signals | int]
) -> None:
    """Undo the parent's signal handling, tie our life to the parent's, keep only our own pipe."""
    global _ready_pipe  # noqa: PLW0603  see report_ready
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C reaches the whole group; the parent says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # so does a closed terminal
    signal.signal(LEAVE, signal.SIG_IGN)  # until the worker serves, nobody has to leave it
    die_with_parent(parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for pipe in others:
        if pipe is not None:
            os.close(pipe)
    _ready_pipe = ready_pipe


def die_with_parent(parent: int) -> None:
    """Ask the kernel for a SIGTERM when the parent dies, however it dies.

    Linux only; elsewhere a killed parent leaves workers.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def exit_with(main: WorkerMain, index: int, listening: socket.socket) -> None:
    """Run the worker and end the process without running the parent's clean-up a second time."""
    code = 1
    try:
        code = main(index, listening)
    except BaseException:
        log.exception("worker %d failed", index)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
