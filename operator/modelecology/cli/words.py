"""How values read on a screen: ages, digests, amounts, intervals and reasons."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal

from modelecology.api.decision import TakenLook
from modelecology.api.ledger import Ledger
from modelecology.api.meta import render_decimal
from modelecology.api.population import Provable, SuiteLifeStatus
from modelecology.api.specialist import Interval, Progress, Scorecard

NONE = "-"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TINY_COST = Decimal("0.0001")


def span(seconds: float) -> str:
    """Write a length of time as kubectl does, with at most two units: 45s, 12m, 3h20m, 6d."""
    whole = max(int(seconds), 0)
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 2 * _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    return f"{whole // _DAY}d"


def _two(whole: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = whole % large // small
    return f"{whole // large}{large_unit}" + (f"{rest}{small_unit}" if rest else "")


def age(since: datetime | None, now: datetime) -> str:
    """Write how long ago something was; a dash when it is not known."""
    return NONE if since is None else span((now - since).total_seconds())


def moment(value: datetime) -> str:
    """Write a time in UTC, to the second."""
    return value.strftime("%Y-%m-%d %H:%M:%SZ")


def short(digest: str | None) -> str:
    """Write the first 12 hex digits of a digest or key; a dash when there is none."""
    return digest.removeprefix("sha256:")[:12] if digest else NONE


def plain(reason: str) -> str:
    """Write a CamelCase reason as words: HardInvariantFailure -> hard invariant failure."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", reason).lower()


def amount(value: Decimal) -> str:
    """Write an amount of the policy's currency with the digits that matter, at most four decimals."""
    if value and abs(value) < _TINY_COST:
        return f"<{_TINY_COST}" if value > 0 else f">-{_TINY_COST}"
    return render_decimal(value.quantize(_TINY_COST)) if value else "0"


def ledger(spent: Ledger) -> str:
    """Write what was spent: cost, then the quantities behind it."""
    parts = [f"cpu {span(float(spent.cpu_seconds))}"]
    if spent.gpu_seconds:
        parts.append(f"gpu {span(float(spent.gpu_seconds))}")
    parts.append(f"{spent.tokens:,} tokens")
    if spent.served_tokens:
        parts.append(f"{spent.served_tokens:,} tokens served")
    if spent.resident_gib_hours:
        parts.append(f"{amount(spent.resident_gib_hours)} GiB-hours resident")
    return f"{amount(spent.cost)} ({', '.join(parts)})"


def score(card: Scorecard | None) -> str:
    """Write a score beside the incumbent's: `0.64 vs 0.02 (n=48)`."""
    if card is None:
        return NONE
    return f"{card.score:.2f} vs {card.incumbent_score:.2f} (n={card.n})"


def interval(value: Interval | None) -> str:
    """Write a confidence interval: `[0.51, 0.72]`, with more digits where two would hide it."""
    if value is None:
        return NONE
    digits = 2 if value.high - value.low >= 0.02 or value.high == value.low else 4
    return f"[{value.low:.{digits}f}, {value.high:.{digits}f}]"


def look(told: TakenLook, *, opened: bool) -> str:
    """Write a proof on the suite: what it was given and, where it is not being opened, what it told."""
    text = (
        f"level {told.level:.2g}, of {told.plan.looks} looks at this suite; "
        f"disclosure {told.plan.disclosure}; more than {told.margin:+.3f} is asked against {told.incumbent}"
    )
    if opened:
        return text
    if not told.passed:
        return f"{text}; not passed"
    return f"{text}; passed in round {told.round} of {told.plan.rounds}"


def suite_life(life: SuiteLifeStatus | None) -> str:
    """Write a suite's budget: `2 looks taken, 1 passed, 8 left, the next at level 0.0027`."""
    if life is None:
        return NONE
    taken = f"{life.looks} look{'' if life.looks == 1 else 's'} taken, {life.passes} passed, "
    return f"{taken}{life.looks_left} left" + (
        f", the next at level {life.next_level:.2g}" if life.looks_left else ": give it fresh items"
    )


def provable(task: Provable) -> str:
    """Write what the next proof can find on a task."""
    found = "can find nothing" if task.gain is None else f"finds {task.gain:+.3g} or more"
    return f"the next proof {found} (n={task.units})"


def progress(job: Progress) -> str:
    """Write how far a job is: `train 12/60, loss 0.83, 1m20s left`."""
    parts = [f"{job.phase} {job.step}/{job.total}" if job.total else job.phase]
    if job.loss is not None:
        parts.append(f"loss {job.loss:.3g}")
    if job.eta_seconds is not None:
        parts.append(f"{span(job.eta_seconds)} left")
    return ", ".join(parts)


def per(horizon: timedelta) -> str:
    """Write the horizon over which a value is counted: 720h -> 30d."""
    return span(horizon.total_seconds())


def sentence(text: str) -> str:
    """Give a text its full stop, if it has an end at all."""
    stripped = text.strip()
    return stripped if not stripped or stripped[-1] in ".!?:" else f"{stripped}."
