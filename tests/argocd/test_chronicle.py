"""What counts as a flap."""

from __future__ import annotations

from datetime import UTC, datetime

from .chronicle import Moment, flaps_in

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def flaps(*history: str) -> int:
    """Count the flaps of a history of `sync revision`."""
    words = (each.split(" ") for each in history)
    return len(flaps_in(Moment(NOON, sync, "", revision, "", "") for sync, revision in words))


def test_a_new_commit_is_no_flap() -> None:
    assert flaps("OutOfSync a", "Synced a", "OutOfSync b", "Synced b") == 0


def test_a_fall_out_of_sync_with_the_same_commit_is_one_however_long_it_lasts() -> None:
    assert flaps("OutOfSync a", "Synced a", "OutOfSync a", "OutOfSync a", "Synced a") == 1


def test_each_fall_counts() -> None:
    assert flaps("Synced a", "OutOfSync a", "Synced a", "Unknown a", "OutOfSync a") == 2
