"""What a population is asked, and on which side of the split."""

from __future__ import annotations

from modelecology.api.vocabulary import Role

from .stage import NAMESPACE, Stage


async def test_of_an_invariant_nothing_is_held_back_and_of_a_traded_task_its_share(stage: Stage) -> None:
    await stage.apply_desk(stage.manifests.specialist("dates", "dates", 0.6))
    frame = await stage.runtime.frame(NAMESPACE, "desk")
    shares = {task.role: frame.suite.spec.shadow_share for task in frame.tasks} | {Role.INVARIANT: 0.0}
    assert set(shares) == {Role.TASK, Role.INVARIANT}
    for asked in frame.baseline():
        role = frame.task(asked.task).role
        assert frame.order(asked).shadow_share == shares[role]
        assert asked.split == "Main" or role is Role.TASK
