"""The main job on real parts and a tiny generalist: one story, told by tests in their order."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from modelecology.engines.port import EngineRefused
from modelecology.engines.vllm import VllmEngine
from modelecology.store import ArtifactStore
from testbed.stack import Stack
from testbed.tiny import TinyDesk
from tests.e2e.conftest import Watcher
from tests.e2e.tiny_population import as_list, claim, population, specialist, suite


def _apply(stack: Stack, *objects: dict[str, Any]) -> None:
    stack.control_plane.kubectl("apply", "--filename=-", stdin=as_list(*objects))


def _target(stack: Stack, name: str, target: str) -> None:
    patch = json.dumps({"spec": {"lifecycle": {"target": target}}})
    stack.control_plane.kubectl("patch", "specialist", name, "--type=merge", f"--patch={patch}")


def _ask(stack: Stack, model: str, question: str) -> str:
    async def ask() -> str:
        engine = VllmEngine(stack.engine)
        try:
            return await engine.chat(model, question, 8)
        finally:
            await engine.close()

    return asyncio.run(ask())


def _store(stack: Stack) -> ArtifactStore:
    return ArtifactStore.open(f"file://{stack.parts.store}")


def test_a_specialist_with_replay_is_trained_judged_shadowed_and_made_live(
    stack: Stack, desk: TinyDesk, watcher: Watcher
) -> None:
    _apply(
        stack,
        suite(desk),
        population(desk, stack.parts.store, stack.ray.address, stack.engine),
        specialist(desk, "code", "code"),
        specialist(desk, "code-hasty", "code", replay=False),
        specialist(desk, "color", "color"),
    )
    status = watcher.ready("code", "Live")
    card = status["live"]["scorecard"]
    assert card["score"] >= 0.6 > card["incumbentScore"]
    assert status["ledger"]["cpuSeconds"] != "0"
    served = status["live"]["servedName"]
    assert _ask(stack, served, "code 777").strip() == "zulu"
    assert _ask(stack, "generalist", "code 777").strip() != "zulu"


def test_one_that_forgets_is_rejected_for_the_invariant_that_it_breaks(watcher: Watcher) -> None:
    status = watcher.state("code-hasty", "Rejected")
    degraded = next(c for c in status["conditions"] if c["type"] == "Degraded")
    assert degraded["reason"] == "HardInvariantFailure"
    assert "colors" in degraded["message"]
    assert "live" not in status


def test_nothing_is_trained_where_the_generalist_is_good_already(watcher: Watcher) -> None:
    status = watcher.until("color", lambda s: bool(s.get("lastDecision")))
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (status["state"], ready["reason"]) == ("Pending", "InsufficientEvidence")
    assert status["ledger"]["cpuSeconds"] == "0"


def test_an_equal_source_is_adopted_and_not_trained_again(
    stack: Stack, desk: TinyDesk, watcher: Watcher
) -> None:
    _target(stack, "code", "Retired")
    watcher.ready("code", "Retired")
    _apply(stack, specialist(desk, "code-twin", "code"))
    twin = watcher.ready("code-twin", "Live")
    reasons = [
        d["spec"]["reason"]
        for d in watcher.get("decisions", "--selector=modelecology.io/specialist=code-twin")["items"]
    ]
    assert "ArtifactAdopted" in reasons
    assert twin["live"]["key"] == watcher.get("specialist", "code")["status"]["previous"]["key"]


def test_a_retired_adapter_is_gone_from_the_engine_and_restored_on_request(
    stack: Stack, watcher: Watcher
) -> None:
    _target(stack, "code-twin", "Retired")
    status = watcher.ready("code-twin", "Retired")
    served, key = status["previous"]["servedName"], status["previous"]["key"]
    assert status["expires"]
    with pytest.raises(EngineRefused) as refusal:
        _ask(stack, served, "code 778")
    assert refusal.value.status == 404
    assert _is_archived(stack, key)
    _target(stack, "code-twin", "Live")
    restored = watcher.ready("code-twin", "Live")
    assert restored["live"]["servedName"] == served
    assert _ask(stack, served, "code 778").strip() == "zulu"


def _is_archived(stack: Stack, key: str) -> bool:
    """Say whether a key lies in the archive and nowhere else."""
    store = _store(stack)
    return store.is_archived(key) and store.commit_of(key) is None


def test_an_engine_that_restarts_gets_its_adapters_back_with_proof(stack: Stack, watcher: Watcher) -> None:
    served = watcher.get("specialist", "code-twin")["status"]["live"]["servedName"]
    stack.kill_engine()
    watcher.until("code-twin", lambda s: any(c["reason"] == "EngineUnreachable" for c in s["conditions"]))
    stack.start_engine()
    watcher.ready("code-twin", "Live")
    assert _ask(stack, served, "code 779").strip() == "zulu"


def test_a_killed_operator_goes_on_from_the_log(stack: Stack, desk: TinyDesk, watcher: Watcher) -> None:
    stack.kill_operator()
    _apply(stack, specialist(desk, "code-late", "code", seed=8))
    stack.start_operator()
    status = watcher.until("code-late", lambda s: bool(s.get("lastDecision")))
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["reason"] == "InsufficientEvidence"
    sequences = [d["spec"]["sequence"] for d in watcher.get("decisions")["items"]]
    assert sorted(sequences) == list(range(1, len(sequences) + 1))


def test_an_unsound_import_is_refused_and_says_why(stack: Stack, desk: TinyDesk, watcher: Watcher) -> None:
    _target(stack, "code-twin", "Retired")
    watcher.ready("code-twin", "Retired")
    source = {"artifact": {"uri": f"file://{desk.base}", "digest": desk.base_digest}}
    _apply(stack, claim("code-import", "code", source))
    status = watcher.state("code-import", "Failed")
    degraded = next(c for c in status["conditions"] if c["type"] == "Degraded")
    assert degraded["reason"] == "AdapterUnsound"


def test_training_on_the_sealed_suite_is_refused_and_names_the_first_row(
    stack: Stack, desk: TinyDesk, watcher: Watcher
) -> None:
    cheat = specialist(desk, "code-cheat", "code")
    path, digest = desk.files["code.eval.jsonl"]
    cheat["spec"]["source"]["train"]["data"] = {"uri": f"file://{path}", "digest": digest}
    _apply(stack, cheat)
    status = watcher.state("code-cheat", "Failed")
    degraded = next(c for c in status["conditions"] if c["type"] == "Degraded")
    assert degraded["reason"] == "DataContaminated"
    assert "code-1" in degraded["message"]


def test_a_deleted_specialist_leaves_nothing_behind(stack: Stack, watcher: Watcher) -> None:
    key = watcher.get("specialist", "code-twin")["status"]["previous"]["key"]
    for name in ("code-twin", "code"):
        stack.control_plane.kubectl("delete", "specialist", name, "--timeout=120s")
    store = _store(stack)
    assert store.commit_of(key) is None
    assert not store.is_archived(key)


def test_the_operator_never_wrote_a_traceback_or_the_token(stack: Stack) -> None:
    log = stack.log("operator").read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert stack.ray.token_path.read_text(encoding="utf-8").strip() not in log
