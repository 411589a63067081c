"""Install, upgrade, rollback, uninstall and install again, by the real Helm: what is the users' stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modelecology.reconcile.finalizer import FINALIZER
from testbed.cluster import Cluster
from testbed.controlplane import ControlPlane
from testbed.errors import KubectlFailed
from testbed.places import REPOSITORY
from testbed.waiting import holds_within

from .helm import OPERATOR, POPULATION, HelmFailed
from .installed import RELEASE, Release

SPECIALISTS = "specialists.modelecology.io"


@pytest.fixture(scope="module")
def plane() -> Iterator[Cluster]:
    """A control plane of this module's own: here the kinds come with a release, and go with one."""
    with ControlPlane() as cluster:
        yield cluster


@pytest.fixture
def release(plane: Cluster) -> Iterator[Release]:
    """A namespace without a release; afterwards the cluster has no kinds again."""
    found = Release(plane, plane.create_namespace("lifecycle"))
    yield found
    if found.helm("list", "--short").strip():
        found.helm("uninstall", RELEASE, "--no-hooks")
    found.let_go()
    plane.kubectl("delete", "namespace", found.namespace, "--wait=false")
    for each in yaml.safe_load((REPOSITORY / "crds/Kustomization").read_text())["resources"]:
        name = ".".join(reversed(each.removesuffix(".yaml").split("_", 1)))
        plane.kubectl("delete", "crd", name, "--ignore-not-found", "--timeout=60s")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The chart as it may have been in an earlier version: Specialists had one column less."""
    chart = tmp_path / "modelecology"
    shutil.copytree(OPERATOR, chart)
    path = chart / f"files/crds/modelecology.io_{SPECIALISTS.split('.', maxsplit=1)[0]}.yaml"
    text = path.read_text(encoding="utf-8")
    before, after = text.split("      name: Score\n", 1)
    begin = before.rindex("    - jsonPath")
    path.write_text(before[:begin] + after.split("\n", 1)[1], encoding="utf-8")
    return chart


def _columns(release: Release) -> list[str]:
    versions = release.get("crd", SPECIALISTS)["spec"]["versions"]
    return [column["name"] for column in versions[0]["additionalPrinterColumns"]]


def _established(release: Release) -> None:
    flags = ("--for=condition=Established", "--timeout=60s")
    release.kubectl("wait", "crd", "--selector=app.kubernetes.io/part-of=modelecology", *flags)


def _installed(release: Release, *flags: str) -> None:
    release.install(OPERATOR, *flags)
    _established(release)
    release.apply_quickstart()


def test_an_upgrade_brings_new_kinds_and_a_rollback_the_old_ones(release: Release, older: Path) -> None:
    release.install(older)
    _established(release)
    release.apply_quickstart()
    made = release.users_objects()
    assert "Score" not in _columns(release)

    release.install(OPERATOR, "--set", "workers=4")
    assert "Score" in _columns(release)
    container = release.get("deployment", "modelecology-operator")["spec"]["template"]["spec"]["containers"][
        0
    ]
    assert {"name": "MODELECOLOGY_WORKERS", "value": "4"} in container["env"]
    assert release.users_objects() == made

    release.helm("rollback", RELEASE, "1")
    assert "Score" not in _columns(release)
    assert release.users_objects() == made


@pytest.mark.parametrize("scope", ["Namespaced", "Cluster"])
def test_after_an_uninstall_everything_of_the_users_is_there_and_can_be_deleted(
    release: Release, scope: str
) -> None:
    _installed(release, "--set", f"scope={scope}")
    made = release.users_objects()
    assert len(made) == 7
    release.hold("populations", "desk")
    release.hold("specialists", "dates", "example.com/backup")
    release.hold("specialists", "cron")

    with release.hook_at_work():
        release.helm("uninstall", RELEASE, "--timeout=60s")

    assert release.users_objects() == made
    left = {o["metadata"]["name"]: o["metadata"].get("finalizers") for o in release.items("specialists")}
    assert not any(FINALIZER in (finalizers or ()) for finalizers in left.values())
    assert left["dates"] == ["example.com/backup"]
    release.kubectl("delete", "specialist", "cron", "--timeout=30s")
    release.kubectl("delete", "population", "desk", "--timeout=30s")
    # What is not ours to take off is not taken off.
    release.kubectl("delete", "specialist", "dates", "--wait=false")
    assert release.get("specialist", "dates")["metadata"]["deletionTimestamp"]
    release.patch("specialists", "dates", [], release.cluster.kubeconfig)

    selector = f"--selector=app.kubernetes.io/instance={RELEASE}"
    kinds = (
        "all,roles,rolebindings,serviceaccounts,networkpolicies,configmaps,clusterroles,clusterrolebindings"
    )
    assert release.items(kinds, selector) == []


def test_what_was_kept_is_taken_over_by_the_next_install(release: Release) -> None:
    _installed(release)
    made = release.users_objects()
    release.helm("uninstall", RELEASE, "--no-hooks")
    assert release.users_objects() == made
    release.install(OPERATOR)
    assert release.users_objects() == made


def test_kinds_that_kubectl_applied_are_taken_over_on_demand(release: Release) -> None:
    release.cluster.install_crds(REPOSITORY / "crds")
    with pytest.raises(HelmFailed, match="invalid ownership metadata"):
        release.install(OPERATOR)
    release.install(OPERATOR, "--take-ownership")
    assert release.get("crd", SPECIALISTS)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_kinds_that_are_not_kept_go_with_the_release_and_so_do_their_objects(release: Release) -> None:
    _installed(release, "--set", "crds.keep=false")
    release.hold("specialists", "dates")
    with release.hook_at_work():
        release.helm("uninstall", RELEASE, "--timeout=60s")
    release.kubectl("wait", "--for=delete", f"crd/{SPECIALISTS}", "--timeout=60s")


def test_a_second_release_stands_beside_the_first(release: Release) -> None:
    _installed(release)
    other = Release(release.cluster, release.cluster.create_namespace("second"))
    other.install(OPERATOR, "--set", "crds.install=false,rbac.aggregate=false")
    other.helm("uninstall", RELEASE, "--no-hooks")
    other.cluster.delete_namespace(other.namespace)


def test_a_population_comes_and_goes_and_its_volume_stays(release: Release) -> None:
    release.install(OPERATOR)
    _established(release)
    told = release.helm("install", "desk", str(POPULATION))
    assert "persistentVolumeClaim: desk-store, mountPath: /var/lib/modelecology/store" in told
    assert "Population/desk" in release.users_objects()
    release.helm("upgrade", "desk", str(POPULATION), "--set", "engine.replicas=2,specialists.cron=null")
    assert "Specialist/cron" not in release.users_objects()
    assert len(release.get("population", "desk")["spec"]["serving"]["endpoints"]) == 2
    release.helm("uninstall", "desk")
    assert release.users_objects() == {}
    assert release.get("persistentvolumeclaim", "desk-store")["metadata"]["name"] == "desk-store"


def test_the_operator_has_its_rights_in_its_namespace_and_none_elsewhere(release: Release) -> None:
    _installed(release)
    rights = release.account("modelecology-operator")
    assert release.items("specialists", kubeconfig=rights)
    for refused in (
        ("get", "specialists", "--all-namespaces"),
        ("get", "specialists", "--namespace=default"),
        ("get", "secrets"),
        ("delete", "specialist", "dates"),
    ):
        with pytest.raises(KubectlFailed, match="forbidden"):
            release.kubectl(*refused, kubeconfig=rights)


def test_with_scope_cluster_it_sees_all_namespaces_and_still_no_secret(release: Release) -> None:
    _installed(release, "--set", "scope=Cluster")
    rights = release.account("modelecology-operator")
    assert release.items("specialists", "--all-namespaces", kubeconfig=rights)
    with pytest.raises(KubectlFailed, match="forbidden"):
        release.kubectl("get", "secrets", "--all-namespaces", kubeconfig=rights)


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("view", ["get specialists", "list decisions"], ["create specialists", "delete decisions"]),
        ("edit", ["create specialists", "patch populations", "get decisions"], ["create decisions"]),
        ("admin", ["delete specialists", "create decisions"], ["patch decisions"]),
    ],
)
def test_the_clusters_own_roles_know_the_kinds(
    release: Release, role: str, may: list[str], may_not: list[str]
) -> None:
    release.install(OPERATOR)
    release.kubectl("create", "rolebinding", f"ann-{role}", f"--clusterrole={role}", "--user=ann")
    ann = release.cluster.kubeconfig_for("ann")
    # The cluster adds the rules up in the background.
    assert holds_within(lambda: all(_may(release, ann, right) for right in may), 60.0)
    assert not [right for right in may_not if _may(release, ann, right)]


def _may(release: Release, user: Path, right: str) -> bool:
    """Ask for all rights at once: to be told `no` about one is an error of kubectl's."""
    verb, resource = right.split()
    rules = release.kubectl("auth", "can-i", "--list", "--no-headers", kubeconfig=user).splitlines()
    return any(line.startswith(f"{resource}.modelecology.io ") and verb in line for line in rules)
