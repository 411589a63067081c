"""The acts that need no gateway: asked through the engine, retired and restored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.cli.port import Snapshot
from modelecology.cli.rows import doing
from modelecology.engines.port import EngineRefused
from modelecology.engines.vllm import VllmEngine
from testbed.demo.scene import Scene
from testbed.demo.settled import is_ready
from testbed.demo.stage import Stage

QUESTIONS = {
    "dates": "Write this date as YYYY-MM-DD: 14 de marzo de 2031",
    "cron": "Explain this cron expression in English: 30 6 * * 1",
}


def ask_through_engine(scene: Scene, snapshot: Snapshot) -> None:
    """Ask the generalist and each live specialist the same, by their served names."""
    asyncio.run(_ask(scene, snapshot))


async def _ask(scene: Scene, snapshot: Snapshot) -> None:
    engine = VllmEngine(scene.stage.engine, token=scene.stage.token)
    try:
        for specialist in snapshot.specialists:
            live = specialist.status.live
            question = QUESTIONS.get(specialist.metadata.name)
            if live is None or question is None:
                continue
            scene.say(f"\n{question}")
            for model in ("generalist", live.served_name):
                answer = await engine.chat(model, question, 32)
                scene.say(f"  {model + ':':<22} {first_line(answer)}")
    finally:
        await engine.close()


def retire_and_restore(scene: Scene) -> None:
    """Retire dates, see that the engine has let it go, and restore it."""
    served = ""
    for target, state in (("Retired", State.RETIRED), ("Live", State.LIVE)):
        patch = f'{{"spec":{{"lifecycle":{{"target":"{target}"}}}}}}'
        scene.say(f"kubectl patch specialist dates --type=merge -p '{patch}'")
        scene.stage.kubectl("patch", "specialist", "dates", "--type=merge", "-p", patch)
        dates = scene.wait_for("dates", _ready_in(state))
        scene.say(f"  dates is {dates.status.state}: {doing(dates)}")
        revision = dates.status.previous if state is State.RETIRED else dates.status.live
        served = revision.served_name if revision is not None else served
        scene.say(f"  the engine, asked for {served}: {asyncio.run(_answer(scene.stage, served))}\n")


def _ready_in(state: State) -> Callable[[Specialist], bool]:
    return lambda specialist: specialist.status.state is state and is_ready(specialist)


async def _answer(stage: Stage, model: str) -> str:
    engine = VllmEngine(stage.engine, token=stage.token)
    try:
        return await engine.chat(model, QUESTIONS["dates"], 16)
    except EngineRefused as refusal:
        return f"{refusal.status}, {refusal.message}"
    finally:
        await engine.close()


def first_line(text: str) -> str:
    """Give the first line of an answer; nothing of an empty one."""
    return text.strip().splitlines()[0] if text.strip() else ""
