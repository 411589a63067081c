"""What the portfolio says of a population, for its status: its value, and its routes one by one."""

from __future__ import annotations

from decimal import Decimal

from modelecology.api.population import MemberStatus, RouteStatus
from modelecology.api.specialist import Interval
from modelecology.governance.facts import Member, Standing
from modelecology.governance.portfolio import Delta, Population, generalists, leave_one_out, value

from .frame import Frame

_MOST_MEMBERS = 256  # as the CRD says
_MOST_ROUTES = 32
_CENT, _FINEST = Decimal("0.01"), Decimal("0.0001")


def population_of(found: Standing) -> Population:
    """Give what serves today in the portfolio's terms."""
    return Population(generalists(found.generalist), found.members)


def value_of(frame: Frame, population: Population) -> Decimal:
    """Say what a population is worth above the generalist alone."""
    alone = Population(population.generalist)
    both = (value(each, frame.tasks, frame.policy) for each in (population, alone))
    return (next(both) - next(both)).quantize(_CENT)


def members_of(frame: Frame, population: Population) -> tuple[MemberStatus, ...]:
    """Say what each member is worth, the greatest first."""
    worth = leave_one_out(population, frame.tasks, frame.policy)
    ranked = sorted(population.members, key=lambda m: (-worth[m.served_name].point, m.served_name))
    return tuple(_member(member, worth[member.served_name]) for member in ranked[:_MOST_MEMBERS])


def routes_of(population: Population) -> tuple[RouteStatus, ...]:
    """Say how the generalist answers each task."""
    ranked = sorted(population.generalist.values(), key=lambda m: m.task)
    return tuple(RouteStatus(**_route(member)) for member in ranked[:_MOST_ROUTES])


def _member(member: Member, worth: Delta) -> MemberStatus:
    return MemberStatus(
        **_route(member),
        served_name=member.served_name,
        resident_bytes=member.resident_bytes,
        over=member.over,
        lead=Interval.model_validate(member.lead, from_attributes=True) if member.lead else None,
        live=Interval.model_validate(member.live_quality, from_attributes=True)
        if member.live_quality
        else None,
        review_cpu_seconds=member.review.cpu_seconds,
        review_gpu_seconds=member.review.gpu_seconds,
        low=worth.low.quantize(_FINEST),
        point=worth.point.quantize(_FINEST),
        high=worth.high.quantize(_FINEST),
    )


def _route(member: Member) -> dict[str, object]:
    return {
        "task": member.task,
        "quality": member.quality,
        "quality_low": member.low,
        "quality_high": member.high,
        "tokens": member.tokens,
        "seconds": member.seconds,
    }
