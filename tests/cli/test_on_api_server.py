"""The commands on a real API server, with a kubeconfig and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from modelecology.api.meta import GROUP, VERSION
from modelecology.api.vocabulary import RETIRE_ANNOTATION, RETRY_ANNOTATION, UNDO_ANNOTATION, Target
from modelecology.cli.access import Access
from modelecology.cli.cluster import KubernetesCluster, connect
from modelecology.cli.port import (
    POPULATION_LABEL,
    SPECIALIST_LABEL,
    NotFoundError,
    Snapshot,
)
from testbed.cluster import Cluster

from .conftest import Run
from .desk import decision, digest, hasty_decisions, members, population, suite

ROOT = Path(__file__).parents[2]
PLURALS = {"Population": "populations", "Specialist": "specialists", "EvaluationSuite": "evaluationsuites"}


@pytest.fixture(scope="session")
def kinds(control_plane: Cluster) -> Cluster:
    """A control plane that knows our kinds."""
    control_plane.install_crds(ROOT / "crds")
    return control_plane


@pytest.fixture
def objects(kinds: Cluster) -> Iterator[Any]:
    """The administrator's client."""
    api = config.new_client_from_config(str(kinds.kubeconfig))  # type: ignore[no-untyped-call]  # no types there
    with api:
        yield client.CustomObjectsApi(api)


@pytest.fixture
def desk(objects: Any, namespace: str) -> str:
    """A namespace with the desk population, its specialists with a status, and the log of dates-hasty."""
    models = (
        ("EvaluationSuite", suite()),
        ("Population", population()),
        *(("Specialist", m) for m in members()),
    )
    for kind, model in models:
        plain = model.model_dump(mode="json", by_alias=True, exclude_none=True)
        status = plain.get("status", {})
        create(objects, namespace, kind, {"name": plain["metadata"]["name"]}, plain["spec"])
        if status.get("observedGeneration"):
            objects.patch_namespaced_custom_object_status(
                GROUP, VERSION, namespace, PLURALS[kind], plain["metadata"]["name"], {"status": status}
            )
    hasty = objects.get_namespaced_custom_object(GROUP, VERSION, namespace, "specialists", "dates-hasty")
    for entry in (*hasty_decisions(), decision(7, "Retry", "Rejected", "Pending", "RetryRequested")):
        spec = entry.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        # The last one is about an earlier object of the same name.
        spec["subject"]["uid"] = "gone" if entry.spec.sequence == 7 else hasty["metadata"]["uid"]
        labels = {SPECIALIST_LABEL: "dates-hasty", POPULATION_LABEL: "desk"}
        create(objects, namespace, "Decision", {"name": entry.metadata.name, "labels": labels}, spec)
    return namespace


def create(objects: Any, namespace: str, kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> None:
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "spec": spec}
    objects.create_namespaced_custom_object(GROUP, VERSION, namespace, PLURALS.get(kind, "decisions"), body)


@pytest.fixture
def cluster(kinds: Cluster, desk: str) -> Iterator[KubernetesCluster]:
    """The CLI's own way to the cluster."""
    with closing(connect(Access(str(kinds.kubeconfig), None, desk))) as opened:
        yield opened


@pytest.fixture
def run(kinds: Cluster, shell: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the plugin as the shell does, by KUBECONFIG."""
    monkeypatch.setenv("KUBECONFIG", str(kinds.kubeconfig))
    return shell


def test_status_tree_and_explain_read_what_the_operator_wrote(run: Run, desk: str) -> None:
    code, out, err = run("status", "-n", desk)
    assert (code, err) == (0, "")
    assert "HardInvariantFailure: everyday is 0.00, the limit is 0.65." in out
    assert "train 12/60, loss 0.831, 80s left" in out
    assert "everyday: invariant (Adapter), may lose at most 0.1" in run("tree", "-n", desk)[1]
    assert "HardInvariants/everyday  Fail" in run("explain", "dates-hasty", "-n", desk)[1]
    record = json.loads(run("explain", "dates-hasty", "-n", desk, "-o", "json")[1])
    assert [entry["sequence"] for entry in record["history"]] == [3, 5, 6]


def test_retry_sets_the_annotation_with_the_name_that_the_api_server_knows(
    run: Run, desk: str, cluster: KubernetesCluster
) -> None:
    assert run("retry", "dates-hasty", "-n", desk)[0] == 0
    value = cluster.specialist("dates-hasty").metadata.annotations[RETRY_ANNOTATION]
    assert value.rpartition("@")[0] == cluster.user() != "unknown"


def test_retire_and_restore_write_the_target_and_the_name_in_one_patch(
    run: Run, desk: str, cluster: KubernetesCluster
) -> None:
    before = cluster.specialist("dates-hasty")
    for command, target, annotation in (
        ("retire", Target.RETIRED, RETIRE_ANNOTATION),
        ("restore", Target.LIVE, UNDO_ANNOTATION),
    ):
        code, out, err = run(command, "dates-hasty", "-n", desk)
        assert (code, err) == (0, ""), out
        found = cluster.specialist("dates-hasty")
        assert found.spec.lifecycle.target is target
        assert f"/{cluster.user()}@" in found.metadata.annotations[annotation]
    assert found.spec == before.spec


def test_a_watch_shows_changes_and_deletions_without_a_new_list(
    cluster: KubernetesCluster, objects: Any
) -> None:
    rounds = cluster.follow(0.2)
    assert len(next(rounds).specialists) == 5
    patch = {"status": {"progress": {"phase": "train", "step": 13, "total": 60}}}
    objects.patch_namespaced_custom_object_status(
        GROUP, VERSION, cluster.namespace, "specialists", "cron", patch
    )
    assert until(
        rounds, lambda s: any(m.status.progress and m.status.progress.step == 13 for m in s.specialists)
    )
    objects.delete_namespaced_custom_object(GROUP, VERSION, cluster.namespace, "specialists", "new")
    assert until(rounds, lambda s: len(s.specialists) == 4)
    rounds.close()


def until(rounds: Iterator[Snapshot], wanted: Callable[[Snapshot], bool]) -> bool:
    """Tell whether a snapshot of the kind comes within some rounds."""
    return any(wanted(snapshot) for snapshot, _ in zip(rounds, range(50), strict=False))


def test_a_caller_without_rights_is_told_which_right_is_missing(run: Run, kinds: Cluster, desk: str) -> None:
    code, _, err = run("status", "-n", desk, "--kubeconfig", str(kinds.kubeconfig_for("ada")))
    assert code == 1
    assert f"Error: You may not list populations in namespace {desk} (403)" in err
    assert 'User "ada"' in err


def test_an_unknown_specialist_and_an_unknown_suite_are_told_apart_from_errors(
    run: Run, desk: str, cluster: KubernetesCluster
) -> None:
    assert "Cannot get specialist nobody: it does not exist" in run("explain", "nobody", "-n", desk)[2]
    assert cluster.suite("nothing") is None
    with pytest.raises(NotFoundError):
        cluster.annotate("nobody", RETRY_ANNOTATION, digest("a"))


def test_kubectl_finds_the_plugin_and_ctrl_c_ends_a_watch_without_a_fault(kinds: Cluster, desk: str) -> None:
    folder = Path(sys.executable).parent
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "KUBECONFIG": str(kinds.kubeconfig),
        "HOME": str(kinds.scratch),
    }
    command = [str(kinds.kubectl_program), "ecology", "status", "--watch", "--hints", "-n", desk]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().endswith("population desk  is ready\n")
        # kubectl hands its process over to the plugin, so the signal goes where a terminal would send it.
        os.killpg(process.pid, signal.SIGINT)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
        assert (
            process.stderr.read() == "Next: kubectl ecology explain NAME says why one ended where it did.\n"
        )


def test_a_server_that_is_not_there_is_a_sentence(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "users: [{name: u, user: {token: t}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    code, _, err = run("status", "--kubeconfig", str(path))
    assert code == 1
    assert err.startswith(
        "Error: The API server at http://127.0.0.1:9 cannot be reached: the connection is refused."
    )
