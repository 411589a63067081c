"""What a job may be called and ask for, and how its name is made."""

from __future__ import annotations

import pytest

from modelecology.jobs.port import (
    MAX_INTENT_BYTES,
    MAX_NAME_LENGTH,
    JobPhase,
    JobSpec,
    bounded,
    job_name,
)


@pytest.mark.parametrize(
    "name", ["", "Train", "train_a", "-a", "a-", "7a", "a.b", "a/b", "ä", "a" * 48, "a\n"]
)
def test_a_name_that_some_runner_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case DNS label of at most 47"):
        JobSpec(name, "{}", cpus=1)


@pytest.mark.parametrize(
    ("cpus", "gpus", "memory"), [(-1.0, 0.0, None), (1.0, -1.0, None), (1.0, 0.0, 0), (1.0, 0.0, -5)]
)
def test_impossible_resources_are_refused(cpus: float, gpus: float, memory: int | None) -> None:
    with pytest.raises(ValueError, match="job train-a"):
        JobSpec("train-a", "{}", cpus, gpus, memory)


def test_an_intent_that_no_environment_can_hold_is_refused() -> None:
    JobSpec("train-a", "x" * MAX_INTENT_BYTES, cpus=1)
    with pytest.raises(ValueError, match="use fewer tasks"):
        JobSpec("train-a", "x" * (MAX_INTENT_BYTES + 1), cpus=1)


@pytest.mark.parametrize("kind", ["Train", "Import", "Evaluate"])
def test_a_name_follows_from_kind_key_and_attempt_and_fits_every_runner(kind: str) -> None:
    key = "0123456789abcdef" * 4
    names = [job_name(kind, key, attempt) for attempt in (0, 1, 99)]
    assert names[0] == f"{kind.lower()}-{key[:32]}"
    assert len(set(names)) == len(names)
    for name in names:
        assert JobSpec(name, "{}", cpus=1).name == name
        assert len(name) <= MAX_NAME_LENGTH


def test_three_phases_are_final() -> None:
    assert {phase for phase in JobPhase if phase.finished} == {
        JobPhase.Succeeded,
        JobPhase.Failed,
        JobPhase.Cancelled,
    }


def test_a_text_is_shortened_at_its_beginning() -> None:
    assert bounded("abcdef", 6) == "abcdef"
    assert bounded("abcdefg", 6) == "...efg"
