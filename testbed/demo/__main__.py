"""`python -m testbed.demo [--cluster] [--keep] [--down]`: the main job on real parts, told as it happens."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

from modelecology.api.specialist import Specialist
from modelecology.api.vocabulary import State
from modelecology.cli.access import Access
from modelecology.cli.cluster import KubernetesCluster, connect
from modelecology.cli.follow import follow_in_lines, follow_on_terminal
from modelecology.cli.port import Snapshot
from modelecology.cli.rows import doing
from modelecology.cli.table import render_status
from modelecology.engines.port import EngineRefused
from modelecology.engines.vllm import VllmEngine
from testbed.demo import local, on_cluster, prepare
from testbed.demo.local import LocalStage
from testbed.demo.on_cluster import ClusterStage
from testbed.demo.settled import TookTooLong, all_settled, is_ready, until
from testbed.demo.stage import DIRECTORY, Stage, shown
from testbed.errors import ControlPlaneError
from testbed.node import cli
from testbed.places import Progress, say
from testbed.runs import read_state
from testbed.stack import take_down

TIMEOUT = timedelta(minutes=40)
QUESTIONS = {
    "dates": "Write this date as YYYY-MM-DD: 14 de marzo de 2031",
    "cron": "Explain this cron expression in English: 30 6 * * 1",
}


class Demo:
    """The show, chapter by chapter."""

    def __init__(self, console: Console, *, keep: bool) -> None:
        self._console = console
        self._keep = keep
        self._started = time.monotonic()

    def run(self, kind: type[LocalStage | ClusterStage]) -> None:
        """Run all chapters. Raises ControlPlaneError, TookTooLong, DigestDiffers."""
        self._chapter("1. The generalist and the data")
        base = prepare.generalist(self._say)
        end_all(self._say)
        store = DIRECTORY / "store"
        prepare.store(store, base)
        self._say(f"generalist {prepare.declared_digest()[7:19]}, store {shown(store)}")
        self._chapter(f"2. {kind.title}")
        with kind(store, keep=self._keep, progress=self._say) as stage:
            self._show(stage)
            if self._keep:
                stage.release()

    def _show(self, stage: Stage) -> None:
        os.environ["KUBECONFIG"] = str(stage.kubeconfig)
        cluster = connect(Access(str(stage.kubeconfig), None, stage.namespace))
        self._chapter(f"3. {stage.apply_title}")
        self._say(stage.apply().rstrip())
        self._chapter("4. The population at work")
        final = self._follow(cluster, all_settled)
        self._chapter("5. Where each one ended, and why")
        self._table(final)
        self._reasons(final)
        self._chapter("6. Asked through the engine")
        asyncio.run(self._ask(stage, final))
        self._chapter("7. Retired and restored")
        self._retire_and_restore(stage, cluster)
        self._farewell(stage)

    def _follow(self, cluster: KubernetesCluster, done: Callable[[Snapshot], bool]) -> Snapshot:
        last: list[Snapshot] = []

        def finished(snapshot: Snapshot) -> bool:
            last[:] = [snapshot]
            return done(snapshot)

        follow = follow_on_terminal if self._console.is_terminal else follow_in_lines
        with closing(cluster.follow(1.0)) as snapshots:
            follow(until(snapshots, finished, _now, _now() + TIMEOUT), "desk", self._console, _now)
        return last[0]

    def _table(self, snapshot: Snapshot) -> None:
        self._console.print(render_status(snapshot, "desk", _now(), self._console.width), highlight=False)

    def _reasons(self, snapshot: Snapshot) -> None:
        self._console.print()
        for specialist in snapshot.specialists:
            name = specialist.metadata.name
            line = f"{name:<12} {specialist.status.state:<9} {doing(specialist)}"
            self._console.print(line, highlight=False, markup=False)

    async def _ask(self, stage: Stage, snapshot: Snapshot) -> None:
        engine = VllmEngine(stage.engine, token=stage.token)
        try:
            for specialist in snapshot.specialists:
                live = specialist.status.live
                question = QUESTIONS.get(specialist.metadata.name)
                if live is None or question is None:
                    continue
                self._say(f"\n{question}")
                for model in ("generalist", live.served_name):
                    answer = await engine.chat(model, question, 32)
                    self._say(
                        f"  {model + ':':<22} {answer.strip().splitlines()[0] if answer.strip() else ''}"
                    )
        finally:
            await engine.close()

    def _retire_and_restore(self, stage: Stage, cluster: KubernetesCluster) -> None:
        served = ""
        for target, state in (("Retired", State.RETIRED), ("Live", State.LIVE)):
            patch = f'{{"spec":{{"lifecycle":{{"target":"{target}"}}}}}}'
            self._say(f"kubectl patch specialist dates --type=merge -p '{patch}'")
            stage.kubectl("patch", "specialist", "dates", "--type=merge", "-p", patch)
            dates = self._wait_for(cluster, "dates", state)
            self._say(f"  dates is {dates.status.state}: {doing(dates)}")
            revision = dates.status.previous if state is State.RETIRED else dates.status.live
            served = revision.served_name if revision is not None else served
            self._say(f"  the engine, asked for {served}: {asyncio.run(_answer(stage, served))}\n")

    def _wait_for(self, cluster: KubernetesCluster, name: str, state: State) -> Specialist:
        def found(snapshot: Snapshot) -> Specialist:
            return next(s for s in snapshot.specialists if s.metadata.name == name)

        def there(snapshot: Snapshot) -> bool:
            return found(snapshot).status.state is state and is_ready(found(snapshot))

        with closing(cluster.follow(1.0)) as snapshots:
            return found(list(until(snapshots, there, _now, _now() + TIMEOUT))[-1])

    def _farewell(self, stage: Stage) -> None:
        minutes = (time.monotonic() - self._started) / 60
        self._chapter(f"Done in {minutes:.1f} minutes")
        if self._keep:
            self._say("Everything runs on. Next:")
            self._say(f"  export KUBECONFIG={stage.kubeconfig} PATH={_tools(stage)}:$PATH")
            self._say(f"  kubectl config set-context --current --namespace={stage.namespace}")
            self._say("  kubectl ecology explain dates-hasty")
            self._say("  kubectl ecology tree")
            self._say("  kubectl get decisions")
            self._say("To end it: make demo-down")
        else:
            self._say("Next:")
            self._say("  make demo KEEP=1            the same, and leave it running for you")
            self._say("  make demo CLUSTER=1         the same in pods, by Helm and KubeRay; needs root")
            self._say("  less docs/quickstart.md     what you saw, step by step, and what to write yourself")
            self._say(
                "  .venv/bin/kubectl-ecology lint manifests/quickstart   check manifests without a cluster"
            )

    def _chapter(self, title: str) -> None:
        self._console.print()
        self._console.print(Rule(title, align="left"))

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _now() -> datetime:
    return datetime.now(UTC)


def _tools(stage: Stage) -> str:
    return f"{Path(sys.executable).parent}:{stage.kubectl_program.parent}"


async def _answer(stage: Stage, model: str) -> str:
    engine = VllmEngine(stage.engine, token=stage.token)
    try:
        return await engine.chat(model, QUESTIONS["dates"], 16)
    except EngineRefused as refusal:
        return f"{refusal.status}, {refusal.message}"
    finally:
        await engine.close()


def end_all(progress: Progress) -> None:
    """End what an earlier demo left running."""
    take_down(local.RUN, progress)
    if read_state(on_cluster.RUN) is not None:
        cli.down(on_cluster.RUN)


def main() -> int:
    """Run the demo, or end one that was kept."""
    parser = argparse.ArgumentParser(prog="python -m testbed.demo")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    parser.add_argument("--cluster", action="store_true", help="play it in pods, on a node; needs root")
    parser.add_argument("--down", action="store_true", help="end what an earlier demo left running")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("TQDM_DISABLE", "1")
    console = Console(width=None if sys.stdout.isatty() else 150)
    if chosen.down:
        end_all(say)
        console.print("Nothing of the demo runs any more. Next: make demo")
        return 0
    try:
        Demo(console, keep=chosen.keep).run(ClusterStage if chosen.cluster else LocalStage)
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running. Next: make demo")
        return 130
    except (ControlPlaneError, TookTooLong, prepare.DigestDiffers) as error:
        console.print(f"\nThe demo failed: {error}", highlight=False, markup=False)
        console.print(f"The logs are in {shown(DIRECTORY)}. Next: make demo", highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
