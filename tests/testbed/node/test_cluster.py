"""The cluster with a node as tests use it: real pods, names, Services, volumes, and faults on demand."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.errors import AlreadyRunning, KubectlFailed
from testbed.node import NodeCluster
from testbed.node.pods import PodCluster
from testbed.waiting import holds_within
from tests.testbed.node import manifests

# Asks the API server by its name with the pod's own token: names, routes, certificate and token in one.
_ASK_THE_API_SERVER = """
import json, pathlib, ssl, urllib.request
account = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
request = urllib.request.Request(
    "https://kubernetes.default.svc/api",
    headers={"Authorization": "Bearer " + (account / "token").read_text()},
)
context = ssl.create_default_context(cafile=account / "ca.crt")
with urllib.request.urlopen(request, context=context, timeout=20) as answer:
    print(answer.status, json.load(answer)["kind"])
"""
_SERVE = ("python3", "-m", "http.server", "8080", "--directory", "/etc")
_READY_SECONDS = 60


@pytest.fixture(scope="module")
def image(node_cluster: PodCluster, base_image_tar: tuple[str, Path]) -> str:
    name, tar = base_image_tar
    assert node_cluster.load_image(tar) == (name,)
    return name


@pytest.fixture
def place(node_cluster: PodCluster) -> Iterator[str]:
    name = node_cluster.create_restricted_namespace("node")
    yield name
    node_cluster.delete_namespace(name)


def _apply(cluster: PodCluster, namespace: str, *objects: str) -> None:
    cluster.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin="\n---\n".join(objects))


def _wait(cluster: PodCluster, namespace: str, what: str, pod: str) -> None:
    limit = f"--timeout={_READY_SECONDS}s"
    cluster.kubectl("wait", f"--namespace={namespace}", f"--for={what}", limit, f"pod/{pod}")


def _serve(cluster: PodCluster, namespace: str, image: str, name: str) -> str:
    """A pod that serves /etc, and its Service; the Service's URL of the pod's own name."""
    _apply(cluster, namespace, manifests.pod(name, image, _SERVE), manifests.service(name, 8080))
    _wait(cluster, namespace, "condition=Ready", name)
    found = cluster.kubectl("get", "service", name, f"--namespace={namespace}", "--output=json")
    return f"http://{json.loads(found)['spec']['clusterIP']}/hostname"


def _answer(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode().strip())
    except OSError:
        return ""


def test_the_node_is_ready_and_named(node_cluster: PodCluster) -> None:
    nodes = json.loads(node_cluster.kubectl("get", "nodes", "--output=json"))["items"]
    conditions = {c["type"]: c["status"] for c in nodes[0]["status"]["conditions"]}
    assert len(nodes) == 1
    assert conditions["Ready"] == "True"


def test_a_pod_reaches_the_api_server_by_its_name(node_cluster: PodCluster, place: str, image: str) -> None:
    _apply(node_cluster, place, manifests.pod("asker", image, ["python3", "-c", _ASK_THE_API_SERVER]))
    _wait(node_cluster, place, "jsonpath={.status.phase}=Succeeded", "asker")
    assert node_cluster.pod_logs(place, "asker") == "200 APIVersions\n"


def test_a_service_answers_on_this_machine_and_in_pods(
    node_cluster: PodCluster, place: str, image: str
) -> None:
    url = _serve(node_cluster, place, image, "web")
    assert holds_within(lambda: _answer(url) == "web", _READY_SECONDS)
    _apply(node_cluster, place, manifests.pod("client", image, ["sleep", "600"]))
    _wait(node_cluster, place, "condition=Ready", "client")
    said = node_cluster.kubectl(
        "exec", f"--namespace={place}", "client", "--", "wget", "-qO-", "http://web/hostname"
    )
    assert said == "web\n"


def test_a_service_reaches_the_pod_that_asks(node_cluster: PodCluster, place: str, image: str) -> None:
    url = _serve(node_cluster, place, image, "mirror")
    assert holds_within(lambda: _answer(url) == "mirror", _READY_SECONDS)
    said = node_cluster.kubectl(
        "exec", f"--namespace={place}", "mirror", "--", "wget", "-T5", "-t1", "-qO-", url
    )
    assert said == "mirror\n"


def test_a_restricted_namespace_refuses_a_privileged_pod(
    node_cluster: PodCluster, place: str, image: str
) -> None:
    wanted = json.loads(manifests.pod("rogue", image, ["sleep", "1"]))
    wanted["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(KubectlFailed) as refused:
        _apply(node_cluster, place, json.dumps(wanted))
    assert "violates PodSecurity" in refused.value.stderr


def test_a_claimed_volume_is_a_folder_of_this_machine(
    owned_node: NodeCluster, place: str, image: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    _apply(owned_node, place, manifests.volume(place, tmp_path), manifests.claim(place))
    try:
        write = ["sh", "-c", "echo kept > /data/file"]
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
        mounts = [{"name": "data", "mountPath": "/data"}]
        _apply(owned_node, place, manifests.pod("writer", image, write, volumes=volumes, mounts=mounts))
        _wait(owned_node, place, "jsonpath={.status.phase}=Succeeded", "writer")
        assert (tmp_path / "file").read_text() == "kept\n"
    finally:
        owned_node.kubectl("delete", "pv", place, "--wait=false")


def test_a_pod_goes_on_without_kubelet_and_is_found_again(
    owned_node: NodeCluster, place: str, image: str
) -> None:
    url = _serve(owned_node, place, image, "steady")
    assert holds_within(lambda: _answer(url) == "steady", _READY_SECONDS)
    owned_node.kill_kubelet()
    assert _answer(url) == "steady"
    owned_node.start_kubelet()
    owned_node.wait_node_ready()
    owned_node.kubectl("delete", "pod", f"--namespace={place}", "steady", "--wait=false")
    owned_node.wait_gone(place, "pod/steady")
    assert _answer(url) == ""


def test_pods_and_services_go_on_without_the_api_server(
    owned_node: NodeCluster, place: str, image: str
) -> None:
    url = _serve(owned_node, place, image, "calm")
    assert holds_within(lambda: _answer(url) == "calm", _READY_SECONDS)
    owned_node.kill_apiserver()
    assert _answer(url) == "calm"
    owned_node.start_apiserver()
    _apply(owned_node, place, manifests.pod("asker", image, ["python3", "-c", _ASK_THE_API_SERVER]))
    _wait(owned_node, place, "jsonpath={.status.phase}=Succeeded", "asker")


def test_a_second_cluster_is_refused(owned_node: NodeCluster) -> None:
    with pytest.raises(AlreadyRunning, match="already"):
        NodeCluster().start()


def test_kuberay_is_installed_and_watches(node_cluster: PodCluster) -> None:
    node_cluster.install_kuberay()
    pods = node_cluster.kubectl("get", "pods", "--namespace=kuberay-system", "--output=json")
    statuses = [status for pod in json.loads(pods)["items"] for status in pod["status"]["containerStatuses"]]
    assert [status["ready"] for status in statuses] == [True]
