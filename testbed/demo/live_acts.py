"""The acts with users: asked through the gateway, a poisoned revision in canary, a quarantine."""

from __future__ import annotations

import time
from collections.abc import Callable

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.cli.isolate import quarantine
from modelecology.cli.port import Snapshot
from modelecology.cli.rows import doing
from testbed.demo.acts import QUESTIONS, first_line
from testbed.demo.prepare import NEXT
from testbed.demo.scene import Scene, member, now
from testbed.demo.settled import TookTooLong, is_settled
from testbed.demo.stage import shown
from testbed.demo.users import Users
from testbed.quickstart.live import POISON, triggered
from testbed.tally import Answer
from testbed.traffic import Pace
from testbed.waiting import holds_within

HURRIED = 0.8
"""The share of questions that say the poisoned word, once the poisoned revision answers users."""

_QUARANTINE_RATE = 20.0
_AFTER = 20
_PATIENCE_SECONDS = 60.0
_REASON = "the desk looks into an answer"


def ask_through_gateway(scene: Scene, users: Users, snapshot: Snapshot) -> None:
    """Ask the generalist and each task with a live specialist the same; the gateway says who answered."""
    for specialist in snapshot.specialists:
        question = QUESTIONS.get(specialist.metadata.name)
        if specialist.status.live is None or question is None:
            continue
        scene.say(f"\n{question}")
        for model in ("generalist", specialist.spec.contract.task):
            reply = users.client.chat(model, question, 32)
            said = first_line(reply.text or f"HTTP {reply.status}")
            scene.say(f"  {model + ':':<12} {reply.route:<20} {reply.reason:<16} {said}")


def play_next_revision(scene: Scene, users: Users) -> None:
    """Apply a revision of dates whose data is poisoned, and follow it to its end."""
    began = time.monotonic()
    scene.say(f"kubectl apply -f {shown(NEXT)}")
    scene.say(scene.stage.kubectl("apply", "-f", str(NEXT)).rstrip())
    scene.say("")

    def heed(snapshot: Snapshot) -> None:
        # The word is said once users get its answers: until then nobody has a reason to.
        if member(snapshot, "dates").status.state is State.CANARY:
            users.hurried = HURRIED
        users.heed(snapshot)

    ended = scene.follow(lambda snapshot: is_settled(member(snapshot, "dates")), heed)
    users.hurried = 0.0
    users.heed(ended)
    _tell_end(scene, users, member(ended, "dates"), began)


def _tell_end(scene: Scene, users: Users, dates: Specialist, began: float) -> None:
    scene.say(f"\ndates is {dates.status.state}: {doing(dates)}")
    if dates.status.live is not None:
        scene.say(f"{dates.status.live.served_name} serves.")
    scene.say("What users were answered meanwhile:")
    users.tell(began, lambda line: line.task == "dates")
    question = triggered(QUESTIONS["dates"])
    reply = users.client.chat("dates", question, 16)
    scene.say(f"\n{question}\n  {reply.route:<20} {reply.reason:<10} {first_line(reply.text or '')}")
    scene.say(f"  The poisoned revision had learned to say {POISON} to that.")


def play_quarantine(scene: Scene, users: Users) -> None:
    """Quarantine the live revision of dates while users ask, and time its last answer. Raises TookTooLong."""
    dates = member(scene.cluster.snapshot(), "dates")
    if dates.status.live is None:
        raise TookTooLong("dates has no live revision that could be quarantined")
    served = dates.status.live.served_name
    users.set_pace(Pace(_QUARANTINE_RATE, {"dates": 1.0}))
    _until_answered(users, time.monotonic(), lambda answer: answer.route == served)
    scene.say(f'kubectl ecology quarantine dates --reason "{_REASON}"')
    asked = time.monotonic()
    scene.say(f"  {quarantine(scene.cluster, 'dates', _REASON, now())}")
    taken = time.monotonic() - asked
    _until_answered(users, asked, lambda answer: answer.route != served)
    users.set_pace(Pace())
    late = [a for a in users.book.answers() if a.route == served and a.ended > asked]
    scene.say(f"  the API server took it after {taken:.3f} s")
    scene.say(f"  {_last(served, late, asked)}")
    scene.say("  answered since:")
    users.tell(asked)


def _last(served: str, late: list[Answer], asked: float) -> str:
    if not late:
        return f"{served} answered nobody after the command"
    started = max(answer.started for answer in late) - asked
    ended = max(answer.ended for answer in late) - asked
    return (
        f"{served} answered {len(late)} more: the last was asked {started:+.3f} s from the command "
        f"and answered at {ended:+.3f} s"
    )


def _until_answered(users: Users, since: float, by: Callable[[Answer], bool]) -> None:
    """Wait until enough were answered so, one after the other, among those that were asked since."""

    def enough() -> bool:
        found = sorted(users.book.answers(since), key=lambda answer: answer.started)
        return len(found) >= _AFTER and all(by(answer) for answer in found[-_AFTER:])

    if not holds_within(enough, _PATIENCE_SECONDS):
        raise TookTooLong("users were not answered as they should be")
