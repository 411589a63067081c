"""Pinning: a trial is judged by the policy that stood when it began; edits count for the next one."""

from __future__ import annotations

from dataclasses import replace

from .rules import Policy


def pinned(then: Policy, now: Policy) -> Policy:
    """Give the policy of a trial under way: its rules of judgement are those of its beginning.

    The steps of a canary are among them, until the policy has none any more. What engines can hold, what may
    be spent, how often jobs are tried, and whether a person has the last word are as they are now: none of
    them makes a verdict easier to reach.
    """
    return replace(
        then,
        undo_window=now.undo_window,
        budget=now.budget,
        adapters=now.adapters,
        max_rank=now.max_rank,
        memory=now.memory,
        replicas=now.replicas,
        retries=now.retries,
        manual=now.manual,
        canary=then.canary if now.canary is not None else None,
        automatic_retirement=now.automatic_retirement,
        retirement_grace=now.retirement_grace,
        retire_by_point=now.retire_by_point,
        idle_after=now.idle_after,
    )
