"""The tree of a population."""

from __future__ import annotations

from modelecology.api.suite import Task
from modelecology.cli.tree import render_tree, task_terms

from .desk import NOW, digest, members, population, rendered, revision, specialist, suite
from .golden import golden


def test_the_tree_shows_the_suite_the_engines_and_every_revision() -> None:
    assert rendered(render_tree(population(), suite(), members(), NOW), 140) == golden("tree")


def test_a_specialist_shows_its_live_candidate_and_previous_revision() -> None:
    three = specialist(
        "dates",
        state="Shadow",
        live=revision("dates", "Live", "ServedScoreConfirmed"),
        candidate=revision("dates", "Shadow", "PortfolioGainProven"),
        previous=revision("dates", "Retired", "Superseded"),
    )
    lines = rendered(render_tree(population(), suite(), (three,), NOW), 140).splitlines()
    assert [line.split("dates-")[0].strip(" │├└─") for line in lines[-3:]] == [
        "live",
        "candidate",
        "previous",
    ]


def test_a_pinned_revision_is_shown_once_whatever_else_it_is() -> None:
    live = revision("dates", "Live", "ServedScoreConfirmed")
    kept = revision("dates", "Live", "Pinned", revision="b" * 12, servedName=f"dates-{'b' * 12}")
    known = specialist("dates", state="Live", live=live, pinned=[live, kept])
    lines = rendered(render_tree(population(), suite(), (known,), NOW), 140).splitlines()
    assert [line.strip(" │├└─").split(" for ")[0] for line in lines[-2:]] == [
        f"live dates-{'a' * 12}  key {'c' * 12}  Live",
        f"pinned dates-{'b' * 12}  key {'c' * 12}  Live",
    ]


def test_a_missing_suite_is_named_with_its_remedy() -> None:
    assert "suite desk does not exist; create it" in rendered(render_tree(population(), None, (), NOW), 100)


def test_an_invariant_says_all_its_terms() -> None:
    plain = {"name": "safe", "role": "Invariant", "scorer": "Exact", "floor": 0.9, "mustPass": True}
    task = Task.model_validate(plain | {"data": {"uri": "file:///safe.jsonl", "digest": digest("e")}})
    assert task_terms(task) == "invariant (Adapter), every item must be right, at least 0.9"
