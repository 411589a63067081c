"""Proves that a process is the one that was started: a number alone may be given to another one later."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from testbed.waiting import holds_within

_START_TICKS_FIELD = 19  # of /proc/PID/stat, counted after the parenthesised name; 0 is the state
_DEAD_STATES = frozenset("ZXx")


class ProcessIdentity(BaseModel):
    """A process of this machine: number, start time in clock ticks since boot, and which boot."""

    model_config = ConfigDict(frozen=True)

    pid: int = Field(gt=1)
    start_ticks: int = Field(ge=0)
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """The identity of a running process; None if there is none with this number."""
        ticks = _start_ticks(pid)
        return None if ticks is None else cls(pid=pid, start_ticks=ticks, boot=_boot())

    def is_alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        return self.boot == _boot() and _start_ticks(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process, never to a later one of its number; False if it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            return self._send_by_number(number)
        try:
            # The handle holds on to whatever process has the number now; only then is the check final.
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def _send_by_number(self, number: signal.Signals) -> bool:
        """For kernels before 5.3, which have no process handles."""
        if not self.is_alive():
            return False
        os.kill(self.pid, number)
        return True

    def end(self, grace_seconds: float) -> bool:
        """SIGTERM, then SIGKILL after the grace time; False if the process was already gone."""
        if not self.send(signal.SIGTERM):
            return False
        if not self._gone_within(grace_seconds) and self.send(signal.SIGKILL):
            self._gone_within(grace_seconds)
        return True

    def _gone_within(self, seconds: float) -> bool:
        return holds_within(lambda: not self.is_alive(), seconds)


def _start_ticks(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in _DEAD_STATES else int(fields[_START_TICKS_FIELD])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
