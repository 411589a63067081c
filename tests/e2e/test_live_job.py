"""Users on real parts and a tiny generalist: they judge shadows and canaries, and a quarantine holds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from modelecology.cli.access import Access
from modelecology.cli.cluster import connect
from modelecology.cli.isolate import quarantine
from testbed.asking import GatewayClient
from testbed.demo.scene import now
from testbed.stack import Parts, Stack
from testbed.tally import Answer
from testbed.tiny import TinyDesk
from testbed.traffic import Pace, Script, Traffic
from testbed.waiting import holds_within
from tests.e2e.conftest import PATIENCE_SECONDS, Watcher
from tests.e2e.tiny_population import Manifest, as_list
from tests.e2e.tiny_users import crowd, objects, revision, write_files

pytestmark = pytest.mark.long

RATE = 10.0
CALM, HURRIED = Pace(RATE, {"code": 1.0}), Pace(RATE, {"code": 1.0}, hurried=0.8)


@pytest.fixture(scope="module")
def stack(desk: TinyDesk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All real parts, with a gateway."""
    root = tmp_path_factory.mktemp("stack")
    (root / "store").mkdir()
    parts = Parts(root / "run", root / "store", desk.base, dtype="float32", population="tiny")
    with Stack(parts) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    """The data, by name."""
    return write_files(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def users(stack: Stack) -> Iterator[Traffic]:
    """Users who ask and say what was right."""
    client = GatewayClient(stack.gateway, stack.gateway_token.read_text(encoding="utf-8"))
    with Traffic(client, Script([crowd()], 1)) as traffic:
        traffic.set_pace(CALM)
        yield traffic
    client.close()


def _answered(users: Traffic, since: float, count: int) -> list[Answer]:
    """Wait for so many answers to what was asked since, and give the last of them."""
    assert holds_within(lambda: len(users.book.answers(since)) >= count, PATIENCE_SECONDS)
    return sorted(users.book.answers(since), key=lambda answer: answer.started)[-5:]


def _actions(watcher: Watcher) -> list[str]:
    return [d["spec"]["action"] for d in watcher.get("decisions")["items"]]


def test_users_judge_a_shadow_and_a_canary_before_it_goes_live(
    stack: Stack, desk: TinyDesk, files: dict[str, Manifest], watcher: Watcher, users: Traffic
) -> None:
    first = revision(desk, files["codes"], 0.5, 80)
    manifests = as_list(*objects(desk, stack, files), first)
    stack.control_plane.kubectl("apply", "--filename=-", stdin=manifests)
    status = watcher.ready("code", "Live")
    assert _actions(watcher)[-3:] == ["Admit", "StartCanary", "Promote"]
    served = status["live"]["servedName"]
    found = _answered(users, time.monotonic(), 20)
    assert {(answer.route, answer.reason) for answer in found} == {(served, "Live")}
    lines = {(line.route, line.reason): line for line in users.book.lines()}
    assert lines[served, "Canary"].right > 0
    assert lines["generalist", "NoLiveRevision"].right == 0


def test_a_poisoned_revision_passes_the_suite_and_is_aborted_in_canary_by_users(
    stack: Stack, desk: TinyDesk, files: dict[str, Manifest], watcher: Watcher, users: Traffic
) -> None:
    served = watcher.get("specialist", "code")["status"]["live"]["servedName"]
    poisoned = as_list(revision(desk, files["poisoned"], 0.9, 160))
    stack.control_plane.kubectl("apply", "--filename=-", stdin=poisoned)
    watcher.state("code", "Canary")
    users.set_pace(HURRIED)
    status = watcher.until("code", lambda s: s["state"] != "Canary")
    users.set_pace(CALM)
    assert (status["state"], status["candidate"]["reason"]) == ("Rejected", "LiveScoreRefuted")
    assert status["candidate"]["scorecard"]["score"] > status["live"]["scorecard"]["score"]
    assert status["live"]["servedName"] == served
    found = _answered(users, time.monotonic(), 20)
    assert {(answer.route, answer.reason) for answer in found} == {(served, "Live")}


def test_a_quarantined_revision_answers_nobody_and_the_generalist_takes_over(
    stack: Stack, watcher: Watcher, users: Traffic
) -> None:
    cluster = connect(Access(str(stack.control_plane.kubeconfig), None, stack.parts.namespace))
    quarantine(cluster, "code", "a test", now())
    watcher.until("code", lambda s: "live" not in s)
    found = _answered(users, time.monotonic(), 20)
    assert {answer.route for answer in found} == {"generalist"}
