"""One parent, N worker processes on one listening socket.

The parent runs no event loop, no thread and no pool: it forks, waits and forwards signals, and so
has nothing that could fail. It keeps the listening socket for as long as it lives, so connections
that arrive while workers change wait in the backlog instead of being refused.

| signal | effect |
|---|---|
| SIGTERM, SIGINT | workers leave (`/readyz` says so), then drain; a second signal kills at once |
| SIGHUP | rolling restart: each worker drains only when its successor reports ready |
| a worker dies | restarted, at once after a long life, ever later (bounded) when it keeps dying |

A successor that dies before it is ready changes nothing: the old worker stays.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.limits import (
    WORKER_FIRST_STARTS_MAX,
    WORKER_HEALTHY_AFTER_S,
    WORKER_READY_WAIT_S,
    WORKER_RESTART_WAIT_S_MAX,
    WORKER_RESTART_WAIT_S_MIN,
    WORKER_STOP_WAIT_S,
)
from gateway.workers.forked import LEAVE, SIGNALS, WorkerMain, become_worker, exit_with

log = logging.getLogger("tillgate.supervisor")


def supervise(
    workers: int,
    listening: socket.socket,
    worker_main: WorkerMain,
    *,
    on_exit: Callable[[int], None] | None = None,
    prestop_s: float = 0.0,
) -> int:
    """Run `worker_main(index, listening)` in `workers` processes until a signal says stop; returns
    the exit code.

    It is 0 after a signal, 1 when the first workers die again and again before any of them serves:
    a wrong setting is for a person, or for the orchestrator, to see.

    Call it before any loop, pool or thread exists: a fork copies their state and not their threads.
    `worker_main` returns its process's exit code, must drain and return on SIGTERM, and calls
    `report_ready()` when it serves. `on_exit(pid)` is called in the parent for every worker that
    ended (for metrics kept in files). `prestop_s`: how long load balancers need to notice that we
    leave; a rolling restart keeps the socket, and needs none.
    """
    if threading.active_count() != 1:
        raise RuntimeError("supervise() forks: call it before anything starts a thread")
    with _woken_by_signals() as wakeup:
        return _Supervisor(
            workers,
            listening,
            worker_main,
            on_exit or (lambda _pid: None),
            wakeup,
            prestop_s=prestop_s,
        ).run()


@dataclass(slots=True)
class _Worker:
    """One process; `ready_pipe` is open until it reported."""

    pid: int
    ready_pipe: int | None
    started: float
    told_to_stop: float | None = None

    @property
    def is_ready(self) -> bool:
        return self.ready_pipe is None

    def tell_to_stop(self) -> None:
        if self.told_to_stop is None:
            self.told_to_stop = time.monotonic()
            os.kill(self.pid, signal.SIGTERM)  # not reaped yet, so the pid is still its own


@dataclass(slots=True)
class _Seat:
    """One of the N places: its worker, the one that is to replace it, and those still draining."""

    index: int
    worker: _Worker | None = None
    successor: _Worker | None = None
    draining: list[_Worker] = field(default_factory=list)
    quick_deaths: int = 0
    start_at: float = 0.0

    def all(self) -> list[_Worker]:
        return [worker for worker in (self.worker, self.successor, *self.draining) if worker]


class _Supervisor:
    """The parent's loop: look at signals, reap, start what is missing,
    go on with a rolling restart.
    """

    def __init__(
        self,
        workers: int,
        listening: socket.socket,
        main: WorkerMain,
        on_exit: Callable[[int], None],
        wakeup: int,
        *,
        prestop_s: float,
    ) -> None:
        self._places = [_Seat(index) for index in range(workers)]
        self._listening = listening
        self._main = main
        self._on_exit = on_exit
        self._wakeup = wakeup
        self._prestop_s = prestop_s
        self._stop_at: float | None = None  # asked to stop, and from then on it is done
        self._stops_asked = 0
        self._ever_served = False
        self._exit_code = 0
        self._to_restart: list[_Seat] = []

    def run(self) -> int:
        gc.collect()
        # What exists now is shared with the workers and not copied by their first collection.
        gc.freeze()
        while True:
            self._reap()
            if self._stops_asked:
                self._stop()
                if not self._workers():
                    return self._exit_code
            else:
                self._start_missing()
                self._roll()
            self._kill_the_slow()
            self._wait()

    # -- signals -----------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Sleep until a signal, a report, or the next moment something is due."""
        pipes = {
            worker.ready_pipe: worker for worker in self._workers() if worker.ready_pipe is not None
        }
        readable, _, _ = select.select([self._wakeup, *pipes], [], [], self._next_due_s())
        for pipe in readable:
            if pipe == self._wakeup:
                for number in os.read(self._wakeup, 64):
                    self._signalled(number)
            elif os.read(pipe, 1):
                os.close(pipe)
                pipes[pipe].ready_pipe = None
                self._ever_served = True

    def _signalled(self, number: int) -> None:
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stops_asked += 1
            log.info("stopping" if self._stops_asked == 1 else "stopping at once")
        elif number == signal.SIGHUP and not self._stops_asked:
            log.info("rolling restart of %d workers", len(self._places))
            self._to_restart = list(self._places)

    def _next_due_s(self) -> float:
        now = time.monotonic()
        due = [
            place.start_at
            for place in self._places
            if place.worker is None and not self._stops_asked
        ]
        if self._stop_at is not None and self._stop_at > now:
            due.append(self._stop_at)
        due += [
            worker.told_to_stop + WORKER_STOP_WAIT_S
            for worker in self._workers()
            if worker.told_to_stop is not None
        ]
        due += [
            place.successor.started + WORKER_READY_WAIT_S
            for place in self._places
            if place.successor
        ]
        return max(0.0, min(due, default=now + 60.0) - now)

    def _workers(self) -> list[_Worker]:
        return [worker for place in self._places for worker in place.all()]

    # -- lives of workers --------------------------------------------------------------------------

    def _reap(self) -> None:
        for place in self._places:
            for worker in place.all():
                ended, status = os.waitpid(worker.pid, os.WNOHANG)
                if ended:
                    self._buried(place, worker, os.waitstatus_to_exitcode(status))

    def _buried(self, place: _Seat, worker: _Worker, code: int) -> None:
        self._on_exit(worker.pid)
        if worker.ready_pipe is not None:
            os.close(worker.ready_pipe)
        if worker in place.draining:
            place.draining.remove(worker)
            return
        if worker is place.successor:
            place.successor = None
            if self._stops_asked:
                return
            self._to_restart.clear()
            log.error(
                "the new worker %d (pid %d) ended with %d before it was ready; "
                "the old workers stay",
                place.index,
                worker.pid,
                code,
            )
            return
        place.worker = None
        if self._stops_asked:
            return
        lived_s = time.monotonic() - worker.started
        place.quick_deaths = 0 if lived_s > WORKER_HEALTHY_AFTER_S else place.quick_deaths + 1
        wait_s = restart_wait_s(place.quick_deaths)
        place.start_at = time.monotonic() + wait_s
        log.error(
            "worker %d (pid %d) ended with %d after %.1f s; restarting in %.1f s",
            place.index,
            worker.pid,
            code,
            lived_s,
            wait_s,
        )
        if not self._ever_served and place.quick_deaths >= WORKER_FIRST_STARTS_MAX:
            log.error("no worker has ever got ready: giving up; the reason is in the lines above")
            self._stops_asked, self._exit_code = 1, 1

    def _start_missing(self) -> None:
        for place in self._places:
            if place.worker is None and place.successor is not None:
                # The old one died meanwhile: the new one is needed at once.
                place.worker, place.successor = place.successor, None
            if place.worker is None and time.monotonic() >= place.start_at:
                place.worker = self._fork(place.index)

    def _roll(self) -> None:
        """One place at a time: start the successor; once it is ready, the old one drains and the
        next place's turn comes.
        """
        while self._to_restart and not any(place.draining for place in self._places):
            place = self._to_restart[0]
            if place.successor is None and place.worker is not None:
                place.successor = self._fork(place.index)
            if place.successor is None or not place.successor.is_ready:
                self._give_up_on_the_silent(place)
                return
            assert place.worker is not None
            place.worker.tell_to_stop()
            place.draining.append(place.worker)
            place.worker, place.successor = place.successor, None
            self._to_restart.pop(0)

    def _give_up_on_the_silent(self, place: _Seat) -> None:
        silent = place.successor
        if silent and time.monotonic() - silent.started > WORKER_READY_WAIT_S:
            log.error(
                "the new worker %d (pid %d) did not get ready; it is stopped, the old workers stay",
                place.index,
                silent.pid,
            )
            silent.tell_to_stop()
            place.draining.append(silent)
            place.successor = None
            self._to_restart.clear()

    def _stop(self) -> None:
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._prestop_s
            for worker in self._workers():
                os.kill(worker.pid, LEAVE)
        if time.monotonic() < self._stop_at and self._stops_asked == 1:
            return
        for worker in self._workers():
            worker.tell_to_stop()
            if self._stops_asked > 1:
                os.kill(worker.pid, signal.SIGKILL)

    def _kill_the_slow(self) -> None:
        for worker in self._workers():
            if (
                worker.told_to_stop is not None
                and time.monotonic() - worker.told_to_stop > WORKER_STOP_WAIT_S
            ):
                log.error(
                    "pid %d did not end within %.0f s; "
                    "killed (what it left is finished by the sweeper)",
                    worker.pid,
                    WORKER_STOP_WAIT_S,
                )
                worker.told_to_stop = time.monotonic()
                os.kill(worker.pid, signal.SIGKILL)

    # -- forking -----------------------------------------------------------------------------------

    def _fork(self, index: int) -> _Worker:
        parent = os.getpid()
        read_end, write_end = os.pipe()
        # A signal between fork and reset would be the parent's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {*SIGNALS, LEAVE})
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            become_worker(
                parent, write_end, [worker.ready_pipe for worker in self._workers()], before
            )
            exit_with(self._main, index, self._listening)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(write_end)
        return _Worker(pid, read_end, time.monotonic())


def restart_wait_s(quick_deaths: int) -> float:
    """How long to wait before the next start: 0 after a long life, then doubling up to a bound."""
    if quick_deaths == 0:
        return 0.0
    return min(
        WORKER_RESTART_WAIT_S_MAX, WORKER_RESTART_WAIT_S_MIN * 2.0 ** min(quick_deaths - 1, 16)
    )


@contextlib.contextmanager
def _woken_by_signals() -> Iterator[int]:
    """Every signal of ours becomes one byte, its number, in the pipe returned;
    the handlers before are restored.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    wakeup_before = signal.set_wakeup_fd(write_end)
    try:
        yield read_end
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)
