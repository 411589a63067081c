"""`python -m testbed.demo [--cluster] [--keep] [--down]`: the main job on real parts, told as it happens."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

from rich.console import Console

from modelecology.cli.access import Access
from modelecology.cli.cluster import connect
from modelecology.cli.port import CliError
from testbed.asking import NoReply
from testbed.demo import local, on_cluster, prepare
from testbed.demo.acts import ask_through_engine, retire_and_restore
from testbed.demo.live_acts import ask_through_gateway, play_next_revision, play_quarantine
from testbed.demo.local import LocalStage
from testbed.demo.on_cluster import ClusterStage
from testbed.demo.scene import Scene, Teller
from testbed.demo.settled import TookTooLong, all_settled
from testbed.demo.stage import DIRECTORY, Door, Stage, shown
from testbed.demo.users import Users
from testbed.errors import ControlPlaneError
from testbed.node import cli
from testbed.places import Progress, say
from testbed.runs import read_state
from testbed.stack import take_down


class Demo:
    """The show, chapter by chapter."""

    def __init__(self, console: Console, *, keep: bool) -> None:
        self._teller = Teller(console)
        self._say = self._teller.say
        self._keep = keep
        self._started = time.monotonic()

    def run(self, kind: type[LocalStage | ClusterStage]) -> None:
        """Run all chapters. Raises ControlPlaneError, TookTooLong, DigestDiffers, CliError, NoReply."""
        self._chapter("The generalist and the data")
        base = prepare.generalist(self._say)
        end_all(self._say)
        store = DIRECTORY / "store"
        prepare.store(store, base)
        self._say(f"generalist {prepare.declared_digest()[7:19]}, store {shown(store)}")
        self._chapter(kind.title)
        with kind(store, keep=self._keep, progress=self._say) as stage:
            self._show(stage)
            if self._keep:
                stage.release()

    def _show(self, stage: Stage) -> None:
        os.environ["KUBECONFIG"] = str(stage.kubeconfig)
        cluster = connect(Access(str(stage.kubeconfig), None, stage.namespace))
        scene = Scene(stage, cluster, self._teller)
        self._chapter(stage.apply_title)
        self._say(stage.apply().rstrip())
        if stage.door is None:
            self._play(scene)
        else:
            self._play_with_users(scene, stage.door)
        self._farewell(stage)

    def _play(self, scene: Scene) -> None:
        self._chapter("The population at work")
        final = scene.follow(all_settled)
        self._chapter("Where each one ended, and why")
        scene.table(final)
        self._chapter("Asked through the engine")
        ask_through_engine(scene, final)
        self._chapter("Retired and restored")
        retire_and_restore(scene)

    def _play_with_users(self, scene: Scene, door: Door) -> None:
        scene.stage.wait_for_door()
        token = door.token_file.read_text(encoding="utf-8").strip()
        with Users(door.gateway, token, door.questions, self._say) as users:
            self._chapter("The population at work, and users who ask it")
            began = time.monotonic()
            final = scene.follow(all_settled, users.heed)
            self._chapter("Where each one ended, and why")
            scene.table(final)
            self._say("\nWhat users were answered, by whom and why:")
            users.tell(began)
            self._chapter("Asked through the gateway")
            ask_through_gateway(scene, users, final)
            self._chapter("Retired and restored")
            retire_and_restore(scene)
            self._chapter("A poisoned revision, in canary")
            play_next_revision(scene, users)
            self._chapter("Quarantined")
            play_quarantine(scene, users)

    def _farewell(self, stage: Stage) -> None:
        minutes = (time.monotonic() - self._started) / 60
        self._teller.rule(f"Done in {minutes:.1f} minutes")
        if self._keep:
            self._say("Everything runs on. Next:")
            self._say(f"  export KUBECONFIG={stage.kubeconfig} PATH={_tools(stage)}:$PATH")
            self._say(f"  kubectl config set-context --current --namespace={stage.namespace}")
            self._say("  kubectl ecology explain dates-hasty")
            self._say("  kubectl ecology tree")
            self._say("  kubectl get decisions")
            if stage.door is not None:
                door = f"--gateway {stage.door.gateway} --token-file {stage.door.token_file}"
                self._say(f"  kubectl ecology ask cron 'Explain this cron schedule: 30 6 * * 1' {door}")
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
        self._teller.chapter(title)


def _tools(stage: Stage) -> str:
    return f"{Path(sys.executable).parent}:{stage.kubectl_program.parent}"


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
    except (ControlPlaneError, TookTooLong, prepare.DigestDiffers, CliError, NoReply) as error:
        console.print(f"\nThe demo failed: {error}", highlight=False, markup=False)
        console.print(f"The logs are in {shown(DIRECTORY)}. Next: make demo", highlight=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
