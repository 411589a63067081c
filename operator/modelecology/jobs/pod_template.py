"""Lays a user's pod template over the one that jobs run in, and refuses what would break a job."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, TypeAlias

from modelecology.jobs.port import RunnerRefused

Body: TypeAlias = dict[str, Any]

FIELD: Final = "spec.jobs.kubeRay.podTemplate"
RAY_HEAD: Final = "ray-head"
OUR_LABELS: Final = ("modelecology.io/", "ray.io/")

# Lists whose items have a key: items of both sides are kept, those of one key become one.
_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
# Each of these holds one choice of several, so the user's stands for the whole of ours.
_WHOLE: Final = frozenset({"volumes", "env", "volumeMounts", "ports"})
_CHOICES: Final = frozenset({"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"})
_KUBERAYS_ENV: Final = frozenset({"RAY_ADDRESS", "RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME"})
_OUR_ENV: Final = ("MODELECOLOGY_", "RAY_AUTH_")


def laid_over(ours: Body, theirs: Body | None) -> Body:
    """Give our template with the user's laid over it; neither is changed. Raises RunnerRefused.

    Maps are merged, and so are lists of named items, by name: `ray-head` is our container, others stand
    beside it. Any other list or value of the user's takes the place of ours, and null takes ours away.
    """
    if not theirs:
        return deepcopy(ours)
    _refuse(theirs)
    merged = _merged(ours, theirs, FIELD)
    theirs_of_head = _named(theirs.get("spec", {}).get("containers") or [], RAY_HEAD)
    _even_resources(_named(merged["spec"]["containers"], RAY_HEAD), theirs_of_head)
    return merged


def _merged(ours: Body, theirs: Body, path: str) -> Body:
    merged = deepcopy(ours)
    for field, value in theirs.items():
        known, here = merged.get(field), f"{path}.{field}"
        if field in _KEYS and isinstance(known, list):
            merged[field] = _items(known, value or [], field, here)
        elif value is None:
            merged.pop(field, None)
        elif isinstance(known, dict) and field not in _CHOICES:
            merged[field] = _merged(known, _map(value, here), here)
        else:
            merged[field] = deepcopy(value)
    return merged


def _items(ours: list[Body], theirs: object, field: str, path: str) -> list[Body]:
    """Merge items by their key; ours come first and in their order, which puts Ray's container first."""
    key = _KEYS[field]
    found = {item[key]: item for item in deepcopy(ours)}
    for item in _keyed(theirs, key, path):
        name = item[key]
        if name in found and field not in _WHOLE:
            found[name] = _merged(found[name], item, f"{path}[{name}]")
        else:
            found[name] = deepcopy(item)
    return list(found.values())


def _even_resources(head: Body, theirs: Body) -> None:
    """Let a resource that the user gives on one side only hold for both: ours would contradict it."""
    given = theirs.get("resources") or {}
    requests, limits = given.get("requests") or {}, given.get("limits") or {}
    merged = head.get("resources")
    if not given or not isinstance(merged, dict):
        return
    for name in limits.keys() - requests.keys():
        merged.setdefault("requests", {})[name] = limits[name]
    for name in requests.keys() - limits.keys():
        merged.get("limits", {}).pop(name, None)
    for side in ("requests", "limits"):
        merged[side] = {name: value for name, value in merged.get(side, {}).items() if value is not None}


def _refuse(theirs: Body) -> None:
    for field in theirs:
        if field not in ("metadata", "spec"):
            raise _no(field, "is not known: a pod template has metadata and spec")
    _refuse_metadata(_map(theirs.get("metadata", {}), f"{FIELD}.metadata"))
    _refuse_spec(_map(theirs.get("spec", {}), f"{FIELD}.spec"))


def _refuse_metadata(metadata: Body) -> None:
    for field in metadata:
        if field not in ("labels", "annotations"):
            raise _no(f"metadata.{field}", "cannot be set: KubeRay names the pods")
    for field in ("labels", "annotations"):
        for name in _map(metadata.get(field, {}), f"{FIELD}.metadata.{field}"):
            if str(name).startswith(OUR_LABELS):
                raise _no(f"metadata.{field}[{name}]", "cannot be set: it is the operator's or KubeRay's own")


def _refuse_spec(spec: Body) -> None:
    if spec.get("restartPolicy", "Never") != "Never":
        raise _no("spec.restartPolicy", "must be Never: a try that broke off is counted, and another starts")
    if spec.get("automountServiceAccountToken", False) is not False:
        raise _no("spec.automountServiceAccountToken", "must be false: jobs carry no Kubernetes credentials")
    for volume in _keyed(spec.get("volumes") or [], "name", f"{FIELD}.spec.volumes"):
        _refuse_tokens(volume)
    for field in ("containers", "initContainers"):
        for container in _keyed(spec.get(field) or [], "name", f"{FIELD}.spec.{field}"):
            name = container["name"]
            _refuse_env(container, f"{FIELD}.spec.{field}[{name}]")
            if field == "containers" and name == RAY_HEAD:
                _refuse_command(container)


def _refuse_tokens(volume: Body) -> None:
    path = f"spec.volumes[{volume['name']}].projected"
    for source in _map(volume.get("projected") or {}, f"{FIELD}.{path}").get("sources") or ():
        token = source.get("serviceAccountToken") if isinstance(source, dict) else None
        # With an audience of its own it is for another service, such as a cloud's identity.
        if token is not None and not (isinstance(token, dict) and token.get("audience")):
            raise _no(path, "must not hold a token of the Kubernetes API: jobs carry no such credentials")


def _refuse_command(head: Body) -> None:
    for field in ("command", "args"):
        if field in head:
            raise _no(f"spec.containers[{RAY_HEAD}].{field}", "cannot be set: KubeRay starts Ray there")


def _refuse_env(container: Body, path: str) -> None:
    for variable in _keyed(container.get("env") or [], "name", f"{path}.env"):
        name = str(variable["name"])
        if name in _KUBERAYS_ENV or name.startswith(_OUR_ENV):
            raise RunnerRefused(f"{path}.env[{name}] cannot be set: it is the operator's or KubeRay's own.")


def _map(value: object, path: str) -> Body:
    if not isinstance(value, dict):
        raise RunnerRefused(f"{path} must be a map, not {type(value).__name__}.")
    return value


def _keyed(value: object, key: str, path: str) -> list[Body]:
    if not isinstance(value, list):
        raise RunnerRefused(f"{path} must be a list, not {type(value).__name__}.")
    for number, item in enumerate(value):
        if not isinstance(item, dict) or not isinstance(item.get(key), str | int):
            raise RunnerRefused(f"{path}[{number}] must be a map with a {key}.")
        if item[key] in (other[key] for other in value[:number]):
            raise RunnerRefused(f"{path}[{number}] has the {key} {item[key]}, as another has.")
    return value


def _named(containers: list[Body], name: str) -> Body:
    return next((each for each in containers if each.get("name") == name), {})


def _no(field: str, why: str) -> RunnerRefused:
    return RunnerRefused(f"{FIELD}.{field} {why}.")
