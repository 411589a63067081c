"""A user's pod template over ours: what is merged, what is replaced, and what is refused by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelecology.jobs.pod_template import RAY_HEAD, laid_over
from modelecology.jobs.port import JobSpec, RunnerRefused
from modelecology.jobs.ray_job_body import pod_template
from tests.jobs.populations import IMAGE, population

Body = dict[str, Any]
_SPEC = JobSpec("train-a", "{}", cpus=2, gpus=1, memory_bytes=2**30)


def _ours() -> Body:
    return pod_template(_SPEC, population(), IMAGE, {"modelecology.io/component": "job"})


def _head(template: Body) -> Body:
    return next(c for c in template["spec"]["containers"] if c["name"] == RAY_HEAD)


def _spec(**fields: Any) -> Body:
    return {"spec": fields}


def _container(**fields: Any) -> Body:
    return _spec(containers=[{"name": RAY_HEAD, **fields}])


def test_no_template_leaves_ours_as_it_is() -> None:
    assert laid_over(_ours(), None) == _ours()
    assert laid_over(_ours(), {}) == _ours()


def test_placement_of_the_users_is_added() -> None:
    wanted = {
        "nodeSelector": {"gpu": "l4"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "serviceAccountName": "trainer",
        "priorityClassName": "low",
    }
    merged = laid_over(_ours(), _spec(**wanted))
    assert {field: merged["spec"][field] for field in wanted} == wanted
    assert merged["spec"]["containers"] == _ours()["spec"]["containers"]


def test_a_volume_of_the_users_stands_beside_ours_and_is_mounted_beside_them() -> None:
    volume = {"name": "store", "persistentVolumeClaim": {"claimName": "store"}}
    mount = {"name": "store", "mountPath": "/var/store"}
    template = _spec(volumes=[volume], containers=[{"name": RAY_HEAD, "volumeMounts": [mount]}])
    merged = laid_over(_ours(), template)
    assert merged["spec"]["volumes"] == [*_ours()["spec"]["volumes"], volume]
    assert _head(merged)["volumeMounts"] == [*_head(_ours())["volumeMounts"], mount]


def test_a_volume_of_the_same_name_takes_the_place_of_ours_whole() -> None:
    # Merged with ours it would have two sources.
    mine = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}
    assert laid_over(_ours(), _spec(volumes=[mine]))["spec"]["volumes"][0] == mine


def test_a_probe_of_the_users_takes_the_place_of_ours_whole() -> None:
    probe = {"exec": {"command": ["true"]}}
    assert _head(laid_over(_ours(), _container(readinessProbe=probe)))["readinessProbe"] == probe


def test_another_container_is_a_sidecar_and_ray_stays_the_first() -> None:
    sidecar = {"name": "proxy", "image": "example.org/proxy:1"}
    merged = laid_over(_ours(), _spec(containers=[sidecar]))
    assert [c["name"] for c in merged["spec"]["containers"]] == [RAY_HEAD, "proxy"]
    assert _head(merged) == _head(_ours())


def test_null_takes_ours_away() -> None:
    merged = laid_over(_ours(), _spec(securityContext={"fsGroup": None}))
    assert "fsGroup" not in merged["spec"]["securityContext"]
    assert merged["spec"]["securityContext"]["runAsNonRoot"] is True


def test_null_for_a_list_of_named_items_takes_nothing_away() -> None:
    assert laid_over(_ours(), _spec(volumes=None, containers=None)) == _ours()


def test_a_limit_alone_is_the_request_too() -> None:
    resources = _head(laid_over(_ours(), _container(resources={"limits": {"memory": "64Gi"}})))["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "64Gi"
    assert resources["limits"]["cpu"] == "2000m"


def test_a_request_alone_has_no_limit() -> None:
    resources = _head(laid_over(_ours(), _container(resources={"requests": {"cpu": "8"}})))["resources"]
    assert resources["requests"]["cpu"] == "8"
    assert "cpu" not in resources["limits"]


def test_another_sort_of_gpu_takes_the_place_of_ours() -> None:
    given_resources = {"limits": {"nvidia.com/gpu": None, "amd.com/gpu": 1}}
    resources = _head(laid_over(_ours(), _container(resources=given_resources)))["resources"]
    for side in ("requests", "limits"):
        assert "nvidia.com/gpu" not in resources[side]
        assert resources[side]["amd.com/gpu"] == 1


@pytest.mark.parametrize(
    ("template", "field"),
    [
        (_spec(restartPolicy="Always"), "spec.restartPolicy must be Never"),
        (_spec(restartPolicy=None), "spec.restartPolicy must be Never"),
        (_spec(automountServiceAccountToken=True), "spec.automountServiceAccountToken must be false"),
        (_spec(automountServiceAccountToken=None), "spec.automountServiceAccountToken must be false"),
        (
            _spec(
                volumes=[
                    {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
                ]
            ),
            "spec.volumes[t].projected must not hold a token of the Kubernetes API",
        ),
        (_container(command=["sh"]), "spec.containers[ray-head].command cannot be set"),
        (_container(args=["-c"]), "spec.containers[ray-head].args cannot be set"),
        (
            _container(env=[{"name": "RAY_AUTH_MODE", "value": "disabled"}]),
            "spec.containers[ray-head].env[RAY_AUTH_MODE] cannot be set",
        ),
        (
            _spec(initContainers=[{"name": "i", "env": [{"name": "MODELECOLOGY_INTENT"}]}]),
            "spec.initContainers[i].env[MODELECOLOGY_INTENT] cannot be set",
        ),
        ({"metadata": {"name": "mine"}}, "metadata.name cannot be set"),
        (
            {"metadata": {"labels": {"modelecology.io/component": "other"}}},
            "metadata.labels[modelecology.io/component] cannot be set",
        ),
        ({"metadata": {"labels": None}}, "metadata.labels must be a map"),
        (
            {"metadata": {"annotations": {"ray.io/overwrite-container-cmd": "true"}}},
            "metadata.annotations[ray.io/overwrite-container-cmd] cannot be set",
        ),
        ({"template": {}}, "template is not known"),
        ({"spec": []}, "spec must be a map, not list"),
        (_spec(containers={"name": RAY_HEAD}), "spec.containers must be a list, not dict"),
        (_spec(containers=[{"image": "x"}]), "spec.containers[0] must be a map with a name"),
        (_spec(volumes=[{"name": "v"}, {"name": "v"}]), "spec.volumes[1] has the name v, as another has"),
        (_container(env="x"), "spec.containers[ray-head].env must be a list, not str"),
        (_container(resources=7), "spec.containers[ray-head].resources must be a map, not int"),
        (_container(volumeMounts=[{"name": "tmp"}]), "volumeMounts[0] must be a map with a mountPath"),
    ],
)
def test_what_would_break_a_job_is_refused_and_named(template: Body, field: str) -> None:
    with pytest.raises(RunnerRefused) as refused:
        laid_over(_ours(), template)
    assert refused.value.message.startswith("spec.jobs.kubeRay.podTemplate.")
    assert field in refused.value.message


_names = st.sampled_from([RAY_HEAD, "proxy", "logs"])
_env = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["A", "B"]), "value": st.text(max_size=3)}),
    max_size=3,
    unique_by=lambda variable: str(variable["name"]),
)
_mounts = st.lists(
    st.fixed_dictionaries({"name": st.just("v"), "mountPath": st.sampled_from(["/tmp", "/data", "/x"])}),
    max_size=3,
    unique_by=lambda mount: str(mount["mountPath"]),
)
_containers = st.lists(
    st.fixed_dictionaries(
        {"name": _names},
        optional={"image": st.text(max_size=5), "env": _env, "volumeMounts": _mounts, "tty": st.booleans()},
    ),
    max_size=3,
    unique_by=lambda container: str(container["name"]),
)
_volumes = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["tmp", "data"]), "emptyDir": st.just({})}),
    max_size=2,
    unique_by=lambda volume: str(volume["name"]),
)
_templates = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=3))}
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": _containers,
                "volumes": _volumes,
                "nodeSelector": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
                "hostname": st.one_of(st.none(), st.text(max_size=5)),
            },
        ),
    },
)


@given(_templates)
def test_ray_comes_first_and_nothing_of_ours_gets_lost(theirs: Body) -> None:
    merged = laid_over(_ours(), theirs)
    containers = [c["name"] for c in merged["spec"]["containers"]]
    assert containers[0] == RAY_HEAD
    assert len(containers) == len(set(containers))
    assert {v["name"] for v in _ours()["spec"]["volumes"]} <= {v["name"] for v in merged["spec"]["volumes"]}
    mounted = [m["mountPath"] for m in _head(merged)["volumeMounts"]]
    assert {"/tmp", "/dev/shm"} <= set(mounted)
    assert len(mounted) == len(set(mounted))
    assert merged["metadata"]["labels"]["modelecology.io/component"] == "job"
    assert _head(merged)["securityContext"] == _head(_ours())["securityContext"]


@given(_templates)
def test_what_the_user_says_holds(theirs: Body) -> None:
    merged = laid_over(_ours(), theirs)
    for field, value in theirs.get("spec", {}).items():
        if field in ("nodeSelector", "hostname"):
            assert merged["spec"].get(field) == value
    for container in theirs.get("spec", {}).get("containers", ()):
        found = next(c for c in merged["spec"]["containers"] if c["name"] == container["name"])
        for field in ("image", "tty"):
            assert field not in container or found[field] == container[field]
        said = {e["name"]: e["value"] for e in container.get("env", ())}
        assert said == {e["name"]: e["value"] for e in found.get("env", ()) if e["name"] in said}


@given(_templates)
def test_a_merge_is_stable_and_changes_neither_side(theirs: Body) -> None:
    ours, before = _ours(), copy.deepcopy(theirs)
    merged = laid_over(ours, theirs)
    assert laid_over(merged, theirs) == merged
    assert (ours, theirs) == (_ours(), before)


def test_a_token_for_another_service_may_be_mounted() -> None:
    token = {"serviceAccountToken": {"audience": "sts.example.org", "path": "token"}}
    volume = {"name": "identity", "projected": {"sources": [token]}}
    merged = laid_over(_ours(), _spec(volumes=[volume]))
    assert volume in merged["spec"]["volumes"]
