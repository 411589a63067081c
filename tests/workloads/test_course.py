"""A course asks round by round, ends as soon as it may, and asks nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from modelecology.api.vocabulary import Method
from modelecology.governance.sequential import Question, order
from modelecology.governance.trial import Course, Inquiry, Measure, Part, Stage, in_rounds
from modelecology.jobs.intents import (
    BaselineResult,
    CourseOrder,
    DataRef,
    EvaluateIntent,
    EvaluationTask,
    UnitRange,
    canonical_json,
    course_key,
    evaluation_key,
    parse_intent,
)
from modelecology.jobs.results import RESULTS
from modelecology.store import Cost, StoreError
from modelecology.workloads.answerers import Answerer
from modelecology.workloads.errors import DataEmpty, JudgeBroken
from modelecology.workloads.evaluate import evaluate
from modelecology.workloads.meter import Meter
from modelecology.workloads.opening import open_answerer
from tests.workloads.orders import CODE, Orders, data_ref
from tests.workloads.test_evaluate import Clerk, never

SEED = "sha256:" + "5" * 64
ADAPTER = "a" * 64
BASELINE, INCUMBENT = "b" * 64, "c" * 64
UNITS = 40
GAIN = Question("PortfolioGain", 0.2, 0.05, 0.2, 0.05)
LOSS = Question("HardInvariants/kept/Loss", -0.15, 0.05, -0.15, 0.05)


class Courses:
    """Orders courses on two tasks of forty questions each, of which the generalist knows the second."""

    def __init__(self, orders: Orders, folder: Path) -> None:
        self.orders = orders
        self.store = orders.store
        self.data: dict[str, DataRef] = {}
        for task, asked in (("code", "code"), ("kept", "color of")):
            rows = [
                {"id": f"{task}-{n:02d}", "prompt": f"{asked} {n}", "answer": "zulu"} for n in range(UNITS)
            ]
            path = folder / f"{task}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            self.data[task] = data_ref(path)
        self._committed(BASELINE, "kept", 1.0)
        self._committed(BASELINE[::-1].replace("b", "d"), "code", 0.0)
        self._committed(INCUMBENT, "code", 0.0)

    def _committed(self, key: str, task: str, score: float) -> None:
        lines = [
            {"id": f"{task}-{n:02d}", "cluster": f"{task}-{n:02d}", "score": score, "output": "?"}
            for n in range(UNITS)
        ]
        with self.store.begin(key) as attempt:
            attempt.write(RESULTS, "".join(json.dumps(line) + "\n" for line in lines).encode())
            attempt.commit("Evaluate", {"task": task, "n": UNITS}, Cost())

    def ordered(
        self,
        *inquiries: Inquiry,
        rounds: int = 4,
        ends_on_failure: bool = True,
        units: dict[str, range] | None = None,
    ) -> EvaluateIntent:
        """Order one course: by default all units of both tasks, in four rounds."""
        cut = in_rounds(units or {"code": range(UNITS), "kept": range(UNITS)}, rounds)
        course = Course(Stage.SCREEN, Method.SEQUENTIAL, SEED, cut, inquiries, ends_on_failure)
        tasks = tuple(self.part(part) for each in cut for part in each)
        baseline = (
            BaselineResult(task="kept", key=BASELINE),
            BaselineResult(task="code", key=BASELINE[::-1].replace("b", "d")),
        )
        ordered = CourseOrder(course=course, baseline=baseline, incumbent=INCUMBENT, claimed="code")
        return EvaluateIntent(
            key=course_key(ordered, [task.key for task in tasks]),
            store=self.orders.uri,
            base=self.orders.base,
            code=CODE,
            tasks=tasks,
            course=ordered,
        )

    def part(self, part: Part) -> EvaluationTask:
        """Order some units of a task."""
        units = UnitRange(seed=SEED, first=part.first, last=part.last)
        key = evaluation_key(
            base_digest=self.orders.base.digest,
            adapter_key=ADAPTER,
            served_model=None,
            data_digest=self.data[part.task].digest,
            scorer="Exact",
            pattern=None,
            entry_point=None,
            max_new_tokens=8,
            split="Main",
            shadow_share=0.0,
            code=CODE,
            units=units,
        )
        return EvaluationTask(
            key=key,
            task=part.task,
            data=self.data[part.task],
            scorer="Exact",
            max_new_tokens=8,
            shadow_share=0.0,
            units=units,
        )

    def run(self, intent: EvaluateIntent, opened: Callable[[], Answerer]) -> None:
        """Run a course to its end."""
        evaluate(intent, self.store, Meter(), opened)

    def committed(self, intent: EvaluateIntent) -> dict[str, object]:
        """Read what a course has left under its own key."""
        return dict(self.store.verify(intent.key).meta)


@pytest.fixture
def courses(orders: Orders, tmp_path: Path) -> Courses:
    """Courses in an empty store."""
    return Courses(orders, tmp_path)


def gain(question: Question = GAIN) -> Inquiry:
    """Ask whether the candidate gains on codes."""
    return Inquiry(question.name, "code", Measure.GAIN, question)


def loss(question: Question = LOSS) -> Inquiry:
    """Ask whether the candidate keeps what the generalist knows."""
    return Inquiry(question.name, "kept", Measure.LOSS, question)


class Dying(Clerk):
    """Answers so many times and then is gone."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def answers(
        self, prompts: Sequence[str], max_new_tokens: int, report: Callable[[int], None]
    ) -> tuple[str, ...]:
        """Answer, or die."""
        if self._left == 0:
            raise ConnectionResetError("gone")
        self._left -= 1
        return super().answers(prompts, max_new_tokens, report)


def test_a_course_ends_as_soon_as_its_questions_are_answered(courses: Courses) -> None:
    clerk = Clerk()
    intent = courses.ordered(gain())
    courses.run(intent, lambda: clerk)
    assert courses.committed(intent)["rounds"] == 2
    assert len(clerk.asked) == 2 * 20
    assert len(set(clerk.asked)) == len(clerk.asked)


def test_a_failure_ends_a_course_only_where_it_may_be_told(courses: Courses) -> None:
    told, hidden = courses.ordered(loss(), gain()), courses.ordered(loss(), gain(), ends_on_failure=False)
    courses.run(told, Clerk)  # it answers no color any more
    courses.run(hidden, Clerk)
    assert courses.committed(told)["rounds"] == 1
    assert courses.committed(hidden)["rounds"] == 4


def test_the_record_of_a_course_names_what_was_asked_in_its_order(courses: Courses) -> None:
    intent = courses.ordered(gain())
    courses.run(intent, Clerk)
    told = courses.committed(intent)
    asked = [[task.task, task.key] for task in intent.tasks[:4]]
    assert told == {"rounds": 2, "parts": asked, "code": CODE}
    assert [task for task, _ in asked] == ["code", "kept", "code", "kept"]
    assert all(courses.store.commit_of(task.key) is None for task in intent.tasks[4:])


def test_each_round_meets_its_own_units_in_the_suites_order(courses: Courses) -> None:
    intent = courses.ordered(gain())
    courses.run(intent, Clerk)
    names = order((f"code-{n:02d}" for n in range(UNITS)), SEED)
    first, _, second, *_ = intent.tasks
    for task, wanted in ((first, names[:10]), (second, names[10:20])):
        rows = [json.loads(line) for line in courses.store.read(task.key, RESULTS).splitlines()]
        assert [row["id"] for row in rows] == sorted(wanted)
        assert courses.store.manifest(task.key).meta["n"] == 10


def test_a_course_that_broke_off_goes_on_and_asks_nothing_twice(courses: Courses) -> None:
    intent = courses.ordered(gain())
    dying, second = Dying(3), Clerk()
    with pytest.raises(ConnectionResetError):
        courses.run(intent, lambda: dying)
    assert courses.store.commit_of(intent.key) is None
    courses.run(intent, lambda: second)
    assert courses.committed(intent)["rounds"] == 2
    assert not set(dying.asked) & set(second.asked)
    assert len(dying.asked) + len(second.asked) == 40
    assert sum(courses.store.manifest(task.key).cost.tokens for task in intent.tasks[:4]) == 8 * 40


def test_other_questions_about_the_same_units_reuse_the_answers_and_open_no_model(courses: Courses) -> None:
    courses.run(courses.ordered(gain(), ends_on_failure=False), Clerk)
    easier = courses.ordered(gain(replace(GAIN, level=0.04)))
    courses.run(easier, never)
    assert courses.committed(easier)["rounds"] == 2


def test_other_questions_ask_only_what_was_not_asked_yet(courses: Courses) -> None:
    first, second = Clerk(), Clerk()
    courses.run(courses.ordered(gain()), lambda: first)
    harder = courses.ordered(gain(replace(GAIN, level=1e-4)))
    courses.run(harder, lambda: second)
    assert courses.committed(harder)["rounds"] == 3
    assert len(second.asked) == 20
    assert not set(first.asked) & set(second.asked)


def test_a_course_that_has_ended_is_not_run_again(courses: Courses) -> None:
    intent = courses.ordered(gain())
    courses.run(intent, Clerk)
    before = courses.store.commit_of(intent.key)
    courses.run(intent, never)
    assert courses.store.commit_of(intent.key) == before


def test_a_judge_that_gives_no_score_from_0_to_1_is_broken_and_nothing_is_recorded(courses: Courses) -> None:
    intent = courses.ordered(gain())
    first = intent.tasks[0]
    lines = [{"id": f"code-{n:02d}", "cluster": f"code-{n:02d}", "score": 2.0} for n in range(UNITS)]
    with courses.store.begin(first.key) as attempt:
        attempt.write(RESULTS, "".join(json.dumps(line) + "\n" for line in lines).encode())
        attempt.commit("Evaluate", {}, Cost())
    with pytest.raises(JudgeBroken):
        courses.run(intent, Clerk)
    assert courses.store.commit_of(intent.key) is None


def test_answers_of_units_that_no_whole_round_asks_are_a_broken_judge(courses: Courses) -> None:
    intent = courses.ordered(gain())
    lines = [{"id": "code-99", "cluster": "code-99", "score": 1.0}]
    with courses.store.begin(intent.tasks[0].key) as attempt:
        attempt.write(RESULTS, (json.dumps(lines[0]) + "\n").encode())
        attempt.commit("Evaluate", {}, Cost())
    with pytest.raises(JudgeBroken, match="Evaluate again"):
        courses.run(intent, Clerk)
    assert courses.store.commit_of(intent.key) is None


def test_a_course_without_the_generalists_results_fails_and_may_be_tried_again(courses: Courses) -> None:
    intent = courses.ordered(gain())
    assert intent.course is not None
    lost = intent.course.model_copy(update={"incumbent": "e" * 64})
    with pytest.raises(StoreError):
        courses.run(intent.model_copy(update={"course": lost}), never)
    assert courses.store.commit_of(intent.key) is None


def test_a_range_beyond_the_units_is_refused_by_name(courses: Courses) -> None:
    intent = courses.ordered(gain(), units={"code": range(UNITS, UNITS + 10)})
    with pytest.raises(DataEmpty, match=r"code\.jsonl has 40 clusters"):
        courses.run(intent, never)


def test_a_course_survives_its_json_and_its_key_follows_its_questions(courses: Courses) -> None:
    intent = courses.ordered(gain(), loss())
    assert parse_intent(canonical_json(intent)) == intent
    assert courses.ordered(gain(), loss()).key == intent.key
    others = (
        courses.ordered(gain(replace(GAIN, level=0.04)), loss()),
        courses.ordered(gain()),
        courses.ordered(gain(), loss(), rounds=2),
        courses.ordered(gain(), loss(), ends_on_failure=False),
    )
    assert len({intent.key, *(other.key for other in others)}) == 5


def test_an_order_whose_tasks_are_not_the_parts_of_its_rounds_is_refused(courses: Courses) -> None:
    intent = courses.ordered(gain())
    plain = intent.tasks[0].model_copy(update={"units": None})
    for tasks in (intent.tasks[1:], intent.tasks[::-1], (plain, *intent.tasks[1:])):
        with pytest.raises(ValidationError, match="the parts of its rounds, in their order"):
            EvaluateIntent.model_validate(dict(intent) | {"tasks": tasks})


def test_a_real_model_is_asked_part_by_part_as_it_is_asked_at_once(orders: Orders) -> None:
    whole = orders.task("colors").model_copy(update={"shadow_share": 0.0})
    intent = orders.evaluate(whole)
    evaluate(intent, orders.store, Meter(), lambda: open_answerer(intent, orders.store, Meter()))
    ranges = (UnitRange(seed=SEED, first=0, last=25), UnitRange(seed=SEED, first=25, last=60))
    parts = [
        whole.model_copy(update={"key": digit * 64, "units": units})
        for digit, units in zip("12", ranges, strict=True)
    ]
    second = orders.evaluate(*parts)
    evaluate(second, orders.store, Meter(), lambda: open_answerer(second, orders.store, Meter()))

    def lines(*tasks: EvaluationTask) -> list[bytes]:
        return sorted(line for t in tasks for line in orders.store.read(t.key, RESULTS).splitlines())

    assert lines(*parts) == lines(whole)
    assert [orders.store.manifest(part.key).meta["n"] for part in parts] == [25, 35]
