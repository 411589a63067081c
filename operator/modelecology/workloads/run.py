"""Runs one intent from beginning to end, within its deadline, and says in one line what went wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pydantic import ValidationError

from modelecology.api.reasons import Reason
from modelecology.jobs.code import code_digest
from modelecology.jobs.intents import (
    FAILURE_FIELD,
    INTENT_VARIABLE,
    EvaluateIntent,
    ImportIntent,
    Intent,
    TrainIntent,
    parse_intent,
)
from modelecology.store import JOB_PATIENCE_SECONDS, ArtifactStore, S3Access, StoreError
from modelecology.workloads.errors import DeadlineExceeded, IntentInvalid, WorkloadError
from modelecology.workloads.meter import Meter

MESSAGE_LIMIT = 1000
GRACE_SECONDS = 30
"""How long native code may hold the deadline's signal back before a thread ends the process."""


def failure_line(reason: str, message: str, retry: bool) -> str:
    """Write the line that the operator looks for at the end of a failed job's output."""
    short = message if len(message) <= MESSAGE_LIMIT else f"{message[: MESSAGE_LIMIT - 3]}..."
    return json.dumps({FAILURE_FIELD: {"reason": reason, "message": short, "retry": retry}})


def _overdue(seconds: int) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The job did not end within its deadline of {seconds} s; raise the deadline or give it fewer steps."
    )


def _end_now(seconds: int) -> None:
    error = _overdue(seconds)
    sys.stdout.write(f"\n{failure_line(error.reason, str(error), error.retry)}\n")
    sys.stdout.flush()
    os._exit(1)


@contextmanager
def deadline(seconds: int) -> Iterator[None]:
    """End the work inside after so many seconds; raises DeadlineExceeded."""

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise _overdue(seconds)

    before = signal.signal(signal.SIGALRM, ring)
    watchdog = threading.Timer(seconds + GRACE_SECONDS, _end_now, (seconds,))
    watchdog.daemon = True
    watchdog.start()
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        watchdog.cancel()


def execute(intent: Intent) -> None:
    """Do what the intent says; raises WorkloadError or StoreError."""
    access = S3Access.from_environment(os.environ, JOB_PATIENCE_SECONDS)
    store = ArtifactStore.open(intent.store, access)
    meter = Meter()
    # Late imports: an import needs no torch, and a wrong intent is refused before torch is loaded.
    if isinstance(intent, ImportIntent):
        from modelecology.workloads.importing import import_adapter

        import_adapter(intent, store, meter)
    elif isinstance(intent, TrainIntent):
        from modelecology.workloads.train import train

        train(intent, store, meter)
    else:
        _evaluate(intent, store, meter)


def _evaluate(intent: EvaluateIntent, store: ArtifactStore, meter: Meter) -> None:
    from modelecology.workloads.evaluate import evaluate
    from modelecology.workloads.opening import open_answerer

    evaluate(intent, store, meter, lambda: open_answerer(intent, store, meter))


def _read_intent(text: str | None) -> Intent:
    if not text:
        raise IntentInvalid(f"The environment variable {INTENT_VARIABLE} is empty; the operator sets it.")
    try:
        return parse_intent(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise IntentInvalid(f"The intent cannot be read: {where}: {fault['msg']}.") from error


def _refuse_other_code(intent: Intent) -> None:
    """Refuse orders for other code: what it made would be committed under a key that is not its own."""
    if intent.code != code_digest():
        raise IntentInvalid(
            f"The operator ordered code {intent.code} and this job's image has {code_digest()}: "
            "operator and job image differ; install the same version in both."
        )


def run_intent(text: str | None) -> int:
    """Run an intent and return the exit code; a failure is told in the last line of the standard output."""
    try:
        intent = _read_intent(text)
        _refuse_other_code(intent)
        os.environ["OMP_NUM_THREADS"] = str(intent.threads)
        with deadline(intent.deadline_seconds):
            execute(intent)
    except (WorkloadError, StoreError) as error:
        print(failure_line(error.reason, str(error), error.retry), flush=True)
        return 1
    except MemoryError:
        print(
            failure_line(
                Reason.INTERNAL_ERROR, "The job ran out of memory; raise its memory request.", False
            ),
            flush=True,
        )
        return 1
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error} The job's log has the traceback."
        print(failure_line(Reason.INTERNAL_ERROR, message, False), flush=True)
        return 1
    return 0
