"""Stage 1, live requests: what a judge says of a shadow's copies, beside what labels say of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from modelecology.api.live_records import Exchange, Preference, alike
from modelecology.governance.facts import Judged

Pair: TypeAlias = tuple[float, str, float]
"""When a copy was scored, in seconds since 1970; who asked; the shadow's score less that of who served."""
_T = TypeVar("_T")


def judged(
    copies: Iterable[Exchange],
    labelled: Mapping[str, Pair],
    word: Callable[[str], Preference | None],
    since: float,
    *,
    unit_is_request: bool,
) -> Judged:
    """Add the judge's word on the copies that no label scores, and hold it beside the labels elsewhere.

    `labelled` are the pairs that labels score, by the request's id.
    """
    said = [(copy, found) for copy in copies if (found := word(copy.request_id)) is not None]
    units = [*_once(((pair[1], pair) for pair in labelled.values()), unit_is_request)]
    # Whoever has said what is right needs no judge.
    known = set() if unit_is_request else {who for _, who, _ in units}
    more = [
        (_unit(copy), (max(copy.time, found.time), _unit(copy), float(found.value)))
        for copy, found in said
        if found.value is not None and copy.request_id not in labelled and _unit(copy) not in known
    ]
    words = [*_once(sorted(more, key=lambda each: each[1]), unit_is_request)]
    # Of an answer that is missing, or the same, nobody was asked: that shows no skill of the judge's.
    both = [
        (_unit(copy), (labelled[copy.request_id][2], found.value))
        for copy, found in said
        if copy.request_id in labelled and not alike(copy) and copy.shadow and copy.shadow.error is None
    ]
    held = [*_once(both, unit_is_request)]
    apart = [(_sign(right), value) for right, value in held if right]
    every = sorted([*units, *words], key=lambda pair: pair[0])
    return Judged(
        differences=tuple(round(difference, 9) for *_, difference in every),
        in_step=sum(at >= since for at, *_ in every),
        words=len(words),
        told_apart=len(apart),
        agreed=sum(right == value for right, value in apart),
        leans=tuple(round(value - right, 9) for right, value in held if value is not None),
        inconsistent=sum(found.inconsistent for _, found in said),
        errors=sum(found.error is not None for _, found in said),
    )


def _unit(copy: Exchange) -> str:
    return copy.asker or copy.request_id


def _sign(difference: float) -> int:
    return int(math.copysign(1, difference)) if difference else 0


def _once(each: Iterable[tuple[str, _T]], unit_is_request: bool) -> Iterator[_T]:
    """Give what belongs to each unit once, the first; all where every request counts."""
    seen: set[str] = set()
    for unit, value in each:
        if unit_is_request or unit not in seen:
            seen.add(unit)
            yield value
