"""All data of the control plane is lost, and comes back from the store: on real API servers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubernetes import config

from testbed.controlplane import ControlPlane
from testbed.operators import Nursery, Operator, jobs_at_work

from .conftest import ROOT
from .desk import Desk, Object, open_desk

NAMESPACE = "rebuilt"
COMMAND = "from modelecology.cli import main; main()"
FIRST = {"dates": "Live Serving", "dates_hasty": "Rejected", "capitals": "Pending", "french": "Shelved"}
FOLDED = ("state", "score", "live", "candidate", "previous", "lastDecision")
SPENT = ("cpuSeconds", "gpuSeconds", "tokens")  # what is held is counted by the hour, and the hour may end


@contextmanager
def plane() -> Iterator[ControlPlane]:
    """A control plane with nothing in it but our kinds."""
    with ControlPlane(controllers=False) as found:
        found.install_crds(ROOT / "crds")
        found.kubectl("create", "namespace", NAMESPACE)
        yield found


def ecology(desk: Desk, *arguments: str) -> str:
    """Run kubectl ecology as an administrator, and give what it says; it must succeed."""
    options = ("--kubeconfig", str(desk.cluster.kubeconfig), "--namespace", NAMESPACE)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *options, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def statuses(desk: Desk) -> dict[str, Object]:
    """What the statuses say that is a fold of the log."""
    found = {}
    for item in desk.all_of("specialists"):
        status = item["status"]
        folded: Object = {name: status.get(name) for name in FOLDED}
        folded["spent"] = {name: status["ledger"].get(name) for name in SPENT}
        folded["reasons"] = sorted(c["reason"] for c in status["conditions"])
        found[item["metadata"]["name"]] = folded
    return found


def test_a_lost_control_plane_is_rebuilt_from_the_store_and_the_operator_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with (
        plane() as first,
        Nursery(first.kubeconfig) as nursery,
        open_desk(first, nursery, NAMESPACE, tmp_path) as desk,
        jobs_at_work(state),
    ):
        desk.operator.start()
        desk.apply_all()
        desk.wait_states(**FIRST)
        desk.patch(
            "specialist",
            "french",
            {"metadata": {"annotations": {"modelecology.io/retry": "ada@2026-03-02T16:00:00Z"}}},
        )
        desk.wait(lambda: "Retry RetryRequested" in desk.actions("french"), "another try")
        desk.wait_states(french="Shelved")
        desk.wait(lambda: "store yet" not in ecology(desk, "log", "verify", "desk"), "a whole copy")
        before, log, trained = statuses(desk), desk.decisions(), desk.trained()
        desk.operator.stop(10.0)
    with plane() as second, Nursery(second.kubeconfig) as nursery, jobs_at_work(state), ExitStack() as stack:
        api: Any = config.new_client_from_config(str(second.kubeconfig))  # type: ignore[no-untyped-call]  # no types there
        with api:
            operator = Operator(nursery, state, NAMESPACE)
            stack.push(operator)  # it is started further down
            again = replace(desk, cluster=second, operator=operator, api=api)
            again.apply_all()
            assert again.decisions() == []
            said = ecology(again, "log", "rebuild", "desk")
            assert said.startswith(f"{len(log)} decisions of desk were created")
            assert [d["spec"] for d in again.decisions()] == [d["spec"] for d in log]
            operator.start()
            again.wait(lambda: statuses_or_nothing(again) == before, f"the statuses {before}")
            assert [d["spec"] for d in again.decisions()] == [d["spec"] for d in log]
            again.want("dates", "Retired")
            again.wait_states(dates="Retired Retired")
            again.wait(lambda: not again.engine.adapters(), "an empty engine")
            assert again.trained() == trained
            assert ecology(again, "log", "verify", "desk").startswith(f"Whole: {len(log) + 1} decisions")
            assert "decisions came out the same" in ecology(again, "explain", "dates", "--replay", "--all")


def statuses_or_nothing(desk: Desk) -> dict[str, Object]:
    """The statuses, or nothing while one was not written yet."""
    if any("conditions" not in item.get("status", {}) for item in desk.all_of("specialists")):
        return {}
    return statuses(desk)
