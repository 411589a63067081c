"""Upkeep: what a member costs by being there, and what its answers cost, over the policy's horizon."""

from __future__ import annotations

from decimal import Decimal

from .facts import Member
from .ledger import HOUR, MILLION, price
from .rules import Policy

DAY = Decimal(86400)
GIB = Decimal(2**30)


def requests(policy: Policy) -> Decimal:
    """Requests of the whole population over the horizon."""
    return policy.requests_per_day * Decimal(policy.horizon.total_seconds()) / DAY


def upkeep(member: Member, policy: Policy) -> Decimal:
    """Price of a member that answers nothing: resident bytes on every replica, and evaluations of it."""
    return residence(member.resident_bytes, policy) + review(member, policy)


def residence(size: int, policy: Policy) -> Decimal:
    """Price of bytes that every replica holds over the horizon."""
    hours = Decimal(policy.horizon.total_seconds()) / HOUR
    return Decimal(size) / GIB * hours * policy.prices.gib_hour * policy.replicas


def review(member: Member, policy: Policy) -> Decimal:
    """Price of the evaluations of a member that fall into the horizon; nothing where none are charged."""
    if policy.reevaluate_every is None:
        return Decimal(0)
    times = Decimal(policy.horizon.total_seconds()) / Decimal(policy.reevaluate_every.total_seconds())
    return times * price(member.review, policy.prices)


def answer_cost(member: Member, policy: Policy) -> Decimal:
    """Price of one answer: its tokens, and the time that somebody waits for it."""
    prices = policy.prices
    tokens = Decimal(str(member.tokens)) * prices.token_million / MILLION
    return tokens + Decimal(str(member.seconds)) / HOUR * prices.wait_hour
