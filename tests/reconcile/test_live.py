"""Live requests as a trial sees them: joined with what was said of them, scored, and each unit once."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelecology.api.live_records import Answered, Arm, Exchange, Feedback, LiveRecord, write_line
from modelecology.api.suite import Task
from modelecology.governance.live import live_quality
from modelecology.reconcile.live import LiveRevision, Trial, of_canary, of_live, of_shadow
from modelecology.reconcile.live_ledger import LiveLedger
from modelecology.store.live_files import LiveFiles

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
START = NOW.timestamp()
LIVE, TRIED = "dates-aaaaaaaaaaaa", "dates-bbbbbbbbbbbb"
SHA = "0" * 64


def task(scorer: str = "Exact", **more: Any) -> Task:
    data = {"uri": "store:///dates.jsonl", "digest": f"sha256:{SHA}"}
    return Task.model_validate(
        {"name": "dates", "role": "Task", "data": data, "scorer": scorer, "traffic": 1, "worth": "1"} | more
    )


def trial(**changes: Any) -> Trial:
    given: dict[str, Any] = {
        "population": "desk",
        "task": task(),
        "served": TRIED,
        "entered": NOW,
        "since": NOW + timedelta(seconds=100),
        "unit_is_request": False,
        "latest": 2.0,
    }
    return Trial(**(given | changes))


def said(served: str, text: str | None, error: str | None = None, seconds: float = 1.0) -> Answered:
    hashed = None if text is None else hashlib.sha256(text.encode()).hexdigest()
    return Answered(served=served, text=text, sha256=hashed, error=error, seconds=seconds)


def asked(
    name: str,
    answer: Answered,
    shadow: Answered | None = None,
    *,
    at: float = 1.0,
    arm: Arm = Arm.LIVE,
    asker: str | None = None,
    task: str = "dates",
) -> Exchange:
    return Exchange(
        time=START + at,
        request_id=name,
        population="desk",
        task=task,
        table="sha256:t",
        arm=arm,
        asker=asker,
        prompt_sha256=SHA,
        answer=answer,
        shadow=shadow,
    )


def told(name: str, *, label: str | None = None, score: float | None = None, at: float = 2.0) -> Feedback:
    hashed = None if label is None else hashlib.sha256(label.encode()).hexdigest()
    return Feedback(time=START + at, request_id=name, label=label, score=score, label_sha256=hashed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def ledger(folder: Path, *records: LiveRecord) -> LiveLedger:
    folder.mkdir(exist_ok=True)
    (folder / "live-20260301T120000-000001-g.jsonl").write_bytes(b"".join(write_line(r) for r in records))
    found = LiveLedger(LiveFiles.in_directory(folder))
    found.read()
    return found


def test_a_label_scores_both_the_answer_that_was_served_and_the_shadows(folder: Path) -> None:
    records = ledger(
        folder,
        asked("r1", said(LIVE, "wrong"), said(TRIED, " 2026-03-01\n")),
        asked("r2", said(LIVE, "2026-03-01"), said(TRIED, "2026-03-01")),
        asked("r3", said(LIVE, "2026-03-01"), said(TRIED, None, "HTTP 500")),
        asked("r4", said(LIVE, "nobody says"), said(TRIED, "how good")),
        *(told(name, label="2026-03-01", at=10.0 + n) for n, name in enumerate(("r2", "r1", "r3"))),
    )
    found = of_shadow(records, trial())
    assert found.differences == (0.0, 1.0, -1.0)
    assert (found.answered, found.failed, found.late) == (4, 1, 0)


def test_a_score_says_nothing_of_a_shadow_that_nobody_saw(folder: Path) -> None:
    records = ledger(folder, asked("r1", said(LIVE, "a"), said(TRIED, "b")), told("r1", score=0.2))
    assert of_shadow(records, trial()).differences == ()


def test_hashes_are_enough_where_the_answer_has_to_be_exact(folder: Path) -> None:
    bald = {"text": None}
    served, copied = (said(name, text).model_copy(update=bald) for name, text in ((LIVE, "a"), (TRIED, "b")))
    word = told("r1", label="b").model_copy(update={"label": None})
    hashed: tuple[LiveRecord, ...] = (asked("r1", served, copied), word)
    assert of_shadow(ledger(folder, *hashed), trial()).differences == (1.0,)
    assert of_shadow(ledger(folder, *hashed), trial(task=task("Contains"))).differences == ()


def test_other_tasks_other_shadows_and_what_came_before_the_trial_do_not_count(folder: Path) -> None:
    records = ledger(
        folder,
        asked("r1", said(LIVE, "a"), said("dates-cccccccccccc", "b")),
        asked("r2", said(LIVE, "a"), said(TRIED, "b"), task="cron"),
        asked("r3", said(LIVE, "a"), said(TRIED, "b"), at=-1.0),
        asked("r4", said(LIVE, "a")),
        *(told(name, label="b") for name in ("r1", "r2", "r3", "r4")),
    )
    assert of_shadow(records, trial()) == of_shadow(ledger(folder / "none"), trial())


def test_whoever_asks_again_counts_once_unless_each_request_shall_count(folder: Path) -> None:
    records = ledger(
        folder,
        asked("r1", said(LIVE, "b"), said(TRIED, "b"), asker="a" * 16),
        asked("r2", said(LIVE, "a"), said(TRIED, "b"), asker="a" * 16),
        *(told(name, label="b", at=at) for name, at in (("r1", 3.0), ("r2", 4.0))),
    )
    assert of_shadow(records, trial()).differences == (0.0,)
    assert of_shadow(records, trial(unit_is_request=True)).differences == (0.0, 1.0)


def test_what_the_client_did_wrong_is_nobodys_failure_nor_is_a_shadow_that_was_away(folder: Path) -> None:
    bad, away = said(TRIED, None, "HTTP 400"), said(TRIED, None, "NotResident")
    records = ledger(folder, asked("r1", bad, arm=Arm.CANARY), asked("r2", said(LIVE, "a"), bad))
    assert of_canary(records, trial()).answered == 0
    assert of_shadow(ledger(folder, asked("r3", said(LIVE, "a"), away)), trial()).answered == 0
    busy = asked("r4", said(TRIED, None, "HTTP 429"), arm=Arm.CANARY)
    assert of_canary(ledger(folder, busy), trial()).failed == 1
    assert of_shadow(records, trial()).answered == 0


def test_the_answers_of_a_canary_are_held_beside_those_of_the_others_since_the_unit_before(
    folder: Path,
) -> None:
    ours: dict[str, Any] = {"arm": Arm.CANARY}
    records = ledger(
        folder,
        asked("l1", said(LIVE, "good")),
        asked("l2", said(LIVE, "bad")),
        asked("c1", said(TRIED, "good"), **ours),
        asked("c2", said(TRIED, "bad", seconds=3.0), **ours),
        asked("c3", said(TRIED, "good"), **ours),
        asked("l3", said(LIVE, "good")),
        *(
            told(name, score=score, at=at)
            for name, score, at in (
                ("l1", 1.0, 10.0),
                ("l2", 0.0, 20.0),
                ("c1", 1.0, 30.0),
                ("c2", 0.0, 110.0),
                ("c3", 1.0, 115.0),
                ("l3", 1.0, 120.0),
            )
        ),
    )
    found = of_canary(records, trial())
    assert found.differences == (0.5, -0.5)
    assert (found.in_step, found.answered, found.failed, found.late) == (1, 3, 0, 1)


def test_the_same_people_are_what_every_asker_of_the_canary_is_held_beside(folder: Path) -> None:
    records: list[LiveRecord] = []
    for turn in range(3):
        records += [
            asked(f"l{turn}", said(LIVE, "good"), asker="a" * 16),
            asked(f"l{turn}b", said(LIVE, "bad"), asker="a" * 16),
            asked(f"c{turn}", said(TRIED, "good"), arm=Arm.CANARY, asker=f"{turn:016x}"),
            told(f"l{turn}", score=0.5, at=10.0 + 3 * turn),
            told(f"l{turn}b", score=0.0, at=11.0 + 3 * turn),
            told(f"c{turn}", score=1.0, at=12.0 + 3 * turn),
        ]
    assert of_canary(ledger(folder, *records), trial()).differences == (0.5, 0.5, 0.5)


def test_a_failure_of_which_nobody_speaks_is_counted_and_is_no_score(folder: Path) -> None:
    records = ledger(
        folder,
        asked("c1", said(TRIED, None, "HTTP 500"), arm=Arm.CANARY, at=1.0),
        asked("l1", said(LIVE, "good"), at=2.0),
        told("l1", score=1.0, at=3.0),
    )
    found = of_canary(records, trial())
    assert (found.differences, found.answered, found.failed) == ((), 1, 1)


def test_a_failed_copy_is_wrong_where_a_label_would_have_scored_it_and_nothing_where_none_would(
    folder: Path,
) -> None:
    failed = asked("r1", said(LIVE, "a"), said(TRIED, None, "HTTP 500"))
    assert of_shadow(ledger(folder, failed, told("r1", label="a")), trial()).differences == (-1.0,)
    assert of_shadow(ledger(folder, failed, told("r1", score=0.9)), trial()).differences == ()


def test_where_nothing_serves_the_others_they_got_nothing(folder: Path) -> None:
    records = ledger(
        folder,
        asked("g1", said("", None, "HTTP 503"), arm=Arm.GENERALIST, at=1.0),
        asked("c1", said(TRIED, "good"), arm=Arm.CANARY, at=2.0),
        told("c1", score=0.75, at=3.0),
    )
    assert of_canary(records, trial()).differences == (0.75,)


def test_before_anything_is_live_a_canary_is_held_beside_the_generalist(folder: Path) -> None:
    records = ledger(
        folder,
        asked("g1", said("generalist", "bad"), arm=Arm.GENERALIST),
        asked("c1", said(TRIED, "good"), arm=Arm.CANARY),
        told("g1", label="good", at=3.0),
        told("c1", label="good", at=4.0),
    )
    assert of_canary(records, trial()).differences == (1.0,)


def test_the_first_word_on_a_request_counts(folder: Path) -> None:
    records = ledger(
        folder,
        asked("r1", said(LIVE, "a"), said(TRIED, "b")),
        told("r1", label="b", at=3.0),
        told("r1", label="a", at=4.0),
    )
    assert of_shadow(records, trial()).differences == (1.0,)


@pytest.mark.parametrize(("latest", "counts"), [(2.0, (3, 1, 1)), (None, (2, 1, 0))])
def test_who_gave_up_a_canary_that_was_late_already_has_seen_a_late_answer(
    folder: Path, latest: float | None, counts: tuple[int, int, int]
) -> None:
    ours: dict[str, Any] = {"arm": Arm.CANARY}
    records = ledger(
        folder,
        asked("c1", said(TRIED, "good"), **ours),
        asked("c2", said(TRIED, None, "HTTP 500", seconds=9.0), **ours),
        asked("c3", said(TRIED, None, "HTTP 499", seconds=2.5), **ours),
        asked("c4", said(TRIED, None, "HTTP 499", seconds=2.0), **ours),
        asked("c5", said(TRIED, None, "HTTP 400", seconds=9.0), **ours),
        asked("l1", said(LIVE, None, "HTTP 499", seconds=9.0)),
        asked("l2", said("", None, "HTTP 499", seconds=9.0), arm=Arm.GENERALIST),
        *(told(name, score=0.0) for name in ("c3", "l1")),
    )
    found = of_canary(records, trial(latest=latest))
    assert (found.answered, found.failed, found.late) == counts
    assert found.differences == ()


def test_who_comes_back_counts_once_a_day_for_what_is_live(folder: Path) -> None:
    day, regular = 86400.0, "a" * 16
    midnight = day / 2  # they begin at noon, UTC
    times = {"r1": 1.0, "r2": midnight - 1, "r3": midnight, "r4": midnight + day - 1, "r5": midnight + day}
    records = ledger(
        folder,
        *(asked(name, said(LIVE, "a"), at=at, asker=regular) for name, at in times.items()),
        asked("other", said(LIVE, "a"), at=2.0, asker="b" * 16),
        asked("nobody", said(LIVE, "a"), at=3.0),
        asked("nobody2", said(LIVE, "a"), at=4.0),
        *(told(name, score=n / 10, at=at + 5.0) for n, (name, at) in enumerate(times.items())),
        told("other", score=0.9, at=7.5),
        *(told(name, score=1.0, at=8.0) for name in ("nobody", "nobody2")),
    )
    found = of_live(records, LiveRevision("desk", task(), LIVE, NOW, unit_is_request=False))
    assert found == (0.0, 0.9, 1.0, 1.0, 0.2, 0.4)
    assert len(of_live(records, LiveRevision("desk", task(), LIVE, NOW, unit_is_request=True))) == 8


def test_populations_that_share_a_folder_and_a_tasks_name_count_each_their_own(folder: Path) -> None:
    others = [
        asked(f"o{n}", said(LIVE, "a"), at=float(n)).model_copy(update={"population": "other"})
        for n in range(3)
    ]
    records = ledger(
        folder,
        *others,
        *(told(e.request_id, score=0.0, at=9.0) for e in others),
        asked("r1", said(LIVE, "a")),
        told("r1", score=1.0, at=9.0),
    )
    for population, scores in (("desk", (1.0,)), ("other", (0.0,) * 3), ("none", ())):
        assert of_live(records, LiveRevision(population, task(), LIVE, NOW, unit_is_request=True)) == scores


def test_regulars_who_were_content_once_can_show_that_it_drifts(folder: Path) -> None:
    records: list[LiveRecord] = []
    for day in range(40):
        for who in range(5):
            name = f"r{day}-{who}"
            at = day * 86400.0 + who
            records.append(asked(name, said(LIVE, "a"), at=at, asker=f"{who:016x}"))
            records.append(told(name, score=float(day < 5), at=at + 1))
    scores = of_live(ledger(folder, *records), LiveRevision("desk", task(), LIVE, NOW, unit_is_request=False))
    quality = live_quality(scores, 0.95)
    assert quality is not None
    assert quality.high < 0.5
