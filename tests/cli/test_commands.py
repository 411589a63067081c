"""The commands, over a fake cluster."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from modelecology.api.vocabulary import APPROVE_ANNOTATION, RETRY_ANNOTATION
from modelecology.cli import options
from modelecology.cli.access import Access
from modelecology.cli.port import ClusterError
from modelecology.governance.log import pending
from modelecology.reconcile.people import approval

from .conftest import Run
from .desk import FakeCluster, asking


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> list[Access]:
    """What the commands asked to be connected to."""
    seen: list[Access] = []

    def connect(access: Access) -> FakeCluster:
        seen.append(access)
        return cluster

    monkeypatch.setattr(options, "connect", connect)
    return seen


@pytest.fixture
def run(asked: list[Access], shell: Run) -> Run:
    """Run the plugin as the shell does; gives its exit code, stdout and stderr."""
    assert asked == []
    return shell


def test_status_shows_the_table_and_no_hint_in_a_pipe(run: Run) -> None:
    code, out, err = run("status")
    assert code == 0
    assert "dates-hasty  dates  Rejected  HardInvariantFailure: everyday is 0.00" in out
    assert err == ""


def test_hints_can_be_asked_for(run: Run) -> None:
    assert (
        run("status", "--hints")[2]
        == "Next: kubectl ecology explain NAME, or kubectl ecology status --watch.\n"
    )
    assert run("explain", "dates-hasty", "--hints")[2].startswith("Next: kubectl ecology explain dates-hasty")


def test_status_as_json_has_what_the_screen_has(run: Run) -> None:
    record = json.loads(run("status", "-o", "json")[1])
    assert record["namespace"] == "team"
    hasty = next(s for s in record["populations"][0]["specialists"] if s["name"] == "dates-hasty")
    assert hasty["status"]["candidate"]["scorecard"]["score"] == 0.78
    assert hasty["doing"] == "HardInvariantFailure: everyday is 0.00, the limit is 0.65."


def test_status_of_an_unknown_population_names_the_known_ones(run: Run) -> None:
    code, out, err = run("status", "office")
    assert (code, out) == (1, "")
    assert "There is no population office in namespace team." in err
    assert "Populations there: desk." in err


def test_status_of_an_empty_namespace_says_so(run: Run, cluster: FakeCluster) -> None:
    cluster.populations, cluster.specialists = (), ()
    assert run("status")[:2] == (0, "No populations in namespace team.\n")


def test_watch_ends_on_ctrl_c_with_what_to_do_next(run: Run) -> None:
    code, out, err = run("status", "--watch", "--hints")
    assert code == 0
    assert "dates-hasty  Rejected" in out
    assert err == "Next: kubectl ecology explain NAME says why one ended where it did.\n"


def test_watch_refuses_a_form_that_it_cannot_write(run: Run) -> None:
    code, _, err = run("status", "--watch", "-o", "json")
    assert code == 2
    assert "--watch writes a table" in err


def test_tree_draws_every_population(run: Run) -> None:
    code, out, _ = run("tree")
    assert code == 0
    assert out.startswith("Population desk\n")
    tree = yaml.safe_load(run("tree", "desk", "-o", "yaml")[1])
    assert [t["name"] for t in tree["populations"][0]["tasks"]] == ["dates", "cron", "everyday"]


def test_explain_shows_the_verdict_and_gives_it_to_programs(run: Run) -> None:
    assert "dates-hasty was rejected: hard invariant failure." in run("explain", "dates-hasty")[1]
    record = json.loads(run("explain", "dates-hasty", "-o", "json")[1])
    assert record["decision"]["sequence"] == 6
    assert [h["sequence"] for h in record["history"]] == [3, 5, 6]


def test_explain_of_an_unknown_specialist_is_one_sentence_and_no_traceback(run: Run) -> None:
    code, _, err = run("explain", "nobody")
    assert code == 1
    assert err.startswith("Error: Cannot get specialist nobody: it does not exist in namespace team.\n")
    assert "Traceback" not in err


def test_retry_names_the_person_the_api_server_knows(run: Run, cluster: FakeCluster) -> None:
    code, out, _ = run("retry", "dates-hasty")
    assert (code, out) == (0, "Asked for another try of dates-hasty as ada@example.org.\n")
    value = cluster.annotations["dates-hasty", RETRY_ANNOTATION]
    user, _, time = value.rpartition("@")
    assert user == "ada@example.org"
    assert time.endswith("Z")


def test_retry_of_what_has_not_stopped_is_refused(run: Run, cluster: FakeCluster) -> None:
    code, _, err = run("retry", "dates")
    assert code == 1
    assert "dates is Live; only Failed, Quarantined, Rejected, Shelved can be retried." in err
    assert cluster.annotations == {}


def test_approve_names_the_revision_and_the_person_the_api_server_knows(
    run: Run, cluster: FakeCluster
) -> None:
    cluster.specialists = (asking(),)
    code, out, _ = run("approve", "careful")
    assert (code, out) == (0, f"Approved revision {'a' * 12} of careful as ada@example.org.\n")
    value = cluster.annotations["careful", APPROVE_ANNOTATION]
    revision, _, by = value.partition("/")
    user, _, time = by.rpartition("@")
    assert (revision, user) == ("a" * 12, "ada@example.org")
    assert time.endswith("Z")


def test_what_approve_writes_is_what_the_operator_reads(run: Run, cluster: FakeCluster) -> None:
    cluster.specialists = (asking(),)
    run("approve", "careful")
    annotations = {APPROVE_ANNOTATION: cluster.annotations["careful", APPROVE_ANNOTATION]}
    annotated = asking().model_copy(
        update={"metadata": asking().metadata.model_copy(update={"annotations": annotations})}
    )
    found = approval(annotated, pending("a" * 12, "careful", datetime(2026, 3, 1, tzinfo=UTC)))
    assert found is not None
    assert found.revision == "a" * 12
    assert found.by.startswith("ada@example.org@2")


def test_approve_of_what_does_not_wait_for_it_is_refused(run: Run, cluster: FakeCluster) -> None:
    code, _, err = run("approve", "dates")
    assert code == 1
    assert "dates is Live and does not wait for approval." in err
    changed = asking()
    cluster.specialists = (
        changed.model_copy(update={"metadata": changed.metadata.model_copy(update={"generation": 2})}),
    )
    assert "The spec of careful has changed" in run("approve", "careful")[2]
    assert cluster.annotations == {}


def test_who_waits_for_a_person_is_shown_with_the_command(run: Run, cluster: FakeCluster) -> None:
    cluster.specialists = (asking(),)
    _, out, err = run("status", "--hints")
    assert "AwaitingApproval" in out
    assert err == "Next: kubectl ecology explain careful, then kubectl ecology approve careful.\n"
    assert "waits for a person: kubectl ecology approve careful" in run("tree")[1]
    _, out, err = run("explain", "careful", "--hints")
    assert "is Shadow. AwaitingApproval: Revision aaaaaaaaaaaa passed every check." in " ".join(out.split())
    assert err == "Next: kubectl ecology approve careful\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "other", "--context", "c", "--kubeconfig", "k", "status"),
        ("status", "-n", "other", "--context", "c", "--kubeconfig", "k"),
        ("-n", "first", "--context", "c", "--kubeconfig", "k", "status", "--namespace", "other"),
    ],
)
def test_the_global_options_stand_before_or_after_the_command(
    run: Run, asked: list[Access], arguments: tuple[str, ...]
) -> None:
    assert run(*arguments)[0] == 0
    assert asked == [Access("k", "c", "other")]


def test_a_cluster_that_is_down_is_a_sentence_with_a_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(_: Access) -> FakeCluster:
        raise ClusterError("The API server at x cannot be reached: the connection is refused.", "Start it.")

    monkeypatch.setattr(options, "connect", connect)
    assert run("status") == (
        1,
        "",
        "Error: The API server at x cannot be reached: the connection is refused.\nStart it.\n",
    )


def test_the_version_is_printed(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("kubectl-ecology 0.")


def test_lint_needs_no_cluster_and_fails_on_errors(run: Run, asked: list[Access], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        "apiVersion: modelecology.io/v1alpha1\nkind: Specialist\nmetadata: {name: x}\nspec: {}\n"
    )
    code, out, _ = run("lint", str(wrong))
    assert code == 1
    assert f"{wrong}:4: error: Specialist/x: spec.contract: is required, and missing." in out
    assert json.loads(run("lint", str(wrong), "-o", "json")[1])["ok"] is False
    assert asked == []
