"""The quickstart's data is the same everywhere, and no training row stands in the suite."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from modelecology.api.vocabulary import Disclosure
from modelecology.governance.looks import Look, SuiteLife
from modelecology.governance.sequential import log_wealth_of
from modelecology.workloads.rows import normalised
from testbed.quickstart.files import quickstart_files
from testbed.quickstart.replay import first_sentence

MANIFESTS = Path(__file__).parents[2] / "manifests" / "quickstart"


def prompts(name: str) -> list[str]:
    """Give the prompts of one file as the contamination check sees them."""
    return [normalised(json.loads(line)["prompt"]) for line in quickstart_files()[name].splitlines()]


def test_every_file_is_the_same_twice_and_pinned_in_the_manifests(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "testbed.quickstart", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    pinned = "".join(path.read_text() for path in sorted(MANIFESTS.rglob("*.yaml")))
    files = quickstart_files()
    assert json.loads(told.stdout) == {
        name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in files.items()
    }
    for name, digest in json.loads(told.stdout).items():
        assert (tmp_path / name).read_bytes() == files[name]
        assert digest in pinned


@pytest.mark.parametrize("task", ["dates", "cron", "french"])
def test_training_and_suite_share_no_question(task: str) -> None:
    train, suite = prompts(f"{task}.train.jsonl"), prompts(f"{task}.eval.jsonl")
    assert len(train) >= 480
    assert not set(train) & set(suite)
    assert len(set(train)) == len(train)
    assert len(set(suite)) == len(suite)


def test_replay_shares_no_question_with_any_suite() -> None:
    sealed = {prompt for name in quickstart_files() if ".eval." in name for prompt in prompts(name)}
    assert not set(prompts("replay.jsonl")) & sealed
    assert len(prompts("replay.jsonl")) > 200


@pytest.mark.parametrize("name", ["everyday.eval.jsonl", "capitals.eval.jsonl"])
def test_no_question_of_a_suite_is_asked_twice(name: str) -> None:
    assert len(set(prompts(name))) == len(prompts(name))


def test_there_are_enough_everyday_questions_to_prove_a_small_loss() -> None:
    policy = yaml.safe_load((MANIFESTS / "population.yaml").read_text())["spec"]["policy"]["evidence"]
    tasks = yaml.safe_load((MANIFESTS / "suite.yaml").read_text())["spec"]["tasks"]
    allowed = next(task["maxRegression"] for task in tasks if task["name"] == "everyday")
    life = SuiteLife(
        Fraction(1, 20),
        Disclosure.VERDICT,
        horizon=policy["looks"],
        stops=policy["rounds"],
        screen=Fraction(str(policy["screen"])),
    )
    second = life.after(Look(passed=True)).next_level()
    units = len(life.proof("everyday", len(prompts("everyday.eval.jsonl"))))
    lost, won = round(0.08 * units), round(0.05 * units)  # as the adapters of the quickstart do
    counts = np.array([lost, units - lost - won, won])
    wealth = log_wealth_of(np.array([-1.0, 0.0, 1.0]), counts, -allowed)
    assert wealth > math.log(1 / second)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("It is blue. It is wide.", "It is blue."),
        ("It is 3.5 m.", "It is 3.5 m."),
        ("It goes on and on", None),
        ("", None),
    ],
)
def test_replay_keeps_the_first_whole_sentence(text: str, sentence: str | None) -> None:
    assert first_sentence(text) == sentence
