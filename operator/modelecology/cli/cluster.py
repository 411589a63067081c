"""The only place of the CLI that talks to the Kubernetes API, with the caller's own kubeconfig and rights."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from pydantic import BaseModel, ValidationError
from urllib3.exceptions import HTTPError

from modelecology.api.decision import Decision
from modelecology.api.meta import API_VERSION, GROUP, VERSION
from modelecology.api.population import Population
from modelecology.api.specialist import Specialist
from modelecology.api.suite import EvaluationSuite
from modelecology.api.vocabulary import Target

from .access import Access, read_identity
from .failures import explain_api_error, explain_connection
from .port import (
    POPULATION_LABEL,
    SPECIALIST_LABEL,
    ClusterError,
    NotFoundError,
    Snapshot,
)
from .watching import Watching

# Connect and read, in seconds: a dead address must not hang a terminal.
_TIMEOUT = (5.0, 30.0)
_PAGE = 250

_M = TypeVar("_M", bound=BaseModel)
_R = TypeVar("_R")


def connect(access: Access) -> KubernetesCluster:
    """Open a cluster by the caller's kubeconfig; raises `ClusterError` when none can be read."""
    identity = read_identity(access)
    api = client.ApiClient(configuration=identity.settings)
    for header, value in identity.headers.items():
        api.set_default_header(header, value)  # type: ignore[no-untyped-call]  # untyped in the client
    return KubernetesCluster(api, identity.namespace)


class KubernetesCluster:
    """A `Cluster` on the real API."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._objects = client.CustomObjectsApi(api)
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The namespace that is looked at."""
        return self._namespace

    def close(self) -> None:
        """Close the connections."""
        self._api.close()  # type: ignore[no-untyped-call]  # untyped in the client

    def snapshot(self) -> Snapshot:
        """Read all populations and specialists."""
        populations, _ = self._list("populations")
        specialists, _ = self._list("specialists")
        return snapshot_of(self._namespace, populations, specialists)

    def follow(self, tick: float) -> Generator[Snapshot, None, None]:
        """Yield the snapshot after each burst of changes, and again after `tick` seconds without one."""
        with Watching(self._list, self._watch, ("populations", "specialists")) as watching:
            for seen, trouble in watching.rounds(tick):
                yield snapshot_of(self._namespace, seen["populations"], seen["specialists"], trouble)

    def specialist(self, name: str) -> Specialist:
        """Read one specialist; raises `NotFoundError`."""
        return _read(Specialist, self._get("specialists", name))

    def suite(self, name: str) -> EvaluationSuite | None:
        """Read one suite, or give None when there is none of that name."""
        try:
            return _read(EvaluationSuite, self._get("evaluationsuites", name))
        except NotFoundError:
            return None

    def decisions(self, specialist: Specialist) -> tuple[Decision, ...]:
        """Read the decisions about this object, oldest first; not those about an earlier one of its name."""
        population = specialist.spec.population_ref.name
        selector = f"{SPECIALIST_LABEL}={specialist.metadata.name},{POPULATION_LABEL}={population}"
        found = [_read(Decision, item) for item in self._list("decisions", selector)[0]]
        own = [d for d in found if d.spec.subject.uid == specialist.metadata.log_uid]
        return tuple(sorted(own, key=lambda d: d.spec.sequence))

    def log(self, population: Population) -> tuple[Decision, ...]:
        """Read all decisions of this population that are objects still, oldest first."""
        items = self._list("decisions", f"{POPULATION_LABEL}={population.metadata.name}")[0]
        # Those of an earlier population of this name may wait for garbage collection yet.
        own = [item for item in items if _owner_uids(item) & {population.metadata.uid}]
        return tuple(sorted((_read(Decision, item) for item in own), key=lambda d: d.spec.sequence))

    def annotate(self, specialist: str, annotation: str, value: str, target: Target | None = None) -> None:
        """Set one annotation of a specialist, and with it its lifecycle.target; raises `NotFoundError`."""
        patch = _annotated(annotation, value)
        if target is not None:
            patch["spec"] = {"lifecycle": {"target": target.value}}
        self._patch("specialists", specialist, patch)

    def annotate_population(self, population: str, annotation: str, value: str) -> None:
        """Set one annotation of a population; raises `NotFoundError`."""
        self._patch("populations", population, _annotated(annotation, value))

    def create_decision(self, body: dict[str, Any]) -> None:
        """Create a Decision object."""
        whole = {"apiVersion": API_VERSION, "kind": "Decision", **body}
        self._call(
            f"create decision {_name(body)}",
            lambda: self._objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                self._namespace,
                "decisions",
                whole,
                field_manager="kubectl-ecology",
                _request_timeout=_TIMEOUT,
            ),
        )

    def _patch(self, plural: str, name: str, patch: dict[str, Any]) -> None:
        self._call(
            f"patch {plural.removesuffix('s')} {name}",
            lambda: self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self._namespace,
                plural,
                name,
                patch,
                field_manager="kubectl-ecology",
                _content_type="application/merge-patch+json",
                _request_timeout=_TIMEOUT,
            ),
        )

    def user(self) -> str:
        """Say who the API server takes the caller for."""
        review = self._call(
            "ask who you are",
            lambda: client.AuthenticationV1Api(self._api).create_self_subject_review(
                client.V1SelfSubjectReview(), _request_timeout=_TIMEOUT
            ),
        )
        info = review.status.user_info if review.status is not None else None
        return str(info.username) if info is not None and info.username else "unknown"

    def _get(self, plural: str, name: str) -> dict[str, Any]:
        found = self._call(
            f"get {plural.removesuffix('s')} {name}",
            lambda: self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self._namespace, plural, name, _request_timeout=_TIMEOUT
            ),
        )
        return _mapping(found)

    def _list(self, plural: str, selector: str | None = None) -> tuple[list[dict[str, Any]], str]:
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = _mapping(self._call(f"list {plural}", partial(self._page, plural, selector, token)))
            items.extend(page.get("items", ()))
            token = page.get("metadata", {}).get("continue") or None
            if token is None:
                return items, str(page.get("metadata", {}).get("resourceVersion", ""))

    def _page(self, plural: str, selector: str | None, token: str | None) -> object:
        return self._objects.list_namespaced_custom_object(
            GROUP,
            VERSION,
            self._namespace,
            plural,
            label_selector=selector,
            limit=_PAGE,
            _continue=token,
            _request_timeout=_TIMEOUT,
        )

    def _watch(self, plural: str, resource_version: str, seconds: int) -> Any:
        """Open a watch and give its raw response, which yields one JSON line per event."""
        return self._call(f"watch {plural}", lambda: self._open_watch(plural, resource_version, seconds))

    def _open_watch(self, plural: str, resource_version: str, seconds: int) -> Any:
        response: Any = self._objects.list_namespaced_custom_object(
            GROUP,
            VERSION,
            self._namespace,
            plural,
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=resource_version,
            timeout_seconds=seconds,
            _preload_content=False,
            _request_timeout=(_TIMEOUT[0], seconds + 30.0),
        )
        # A raw response is handed out whatever its status.
        if response.status != HTTPStatus.OK:
            raise ApiException(
                status=response.status, reason=response.reason, body=response.data.decode("utf-8", "replace")
            )
        return response

    def _call(self, what: str, action: Callable[[], _R]) -> _R:
        server = str(self._api.configuration.host)
        try:
            return action()
        except ApiException as error:
            raise explain_api_error(error, what, self._namespace) from error
        except (HTTPError, OSError) as error:
            raise explain_connection(error, server) from error


def snapshot_of(
    namespace: str,
    populations: list[dict[str, Any]],
    specialists: list[dict[str, Any]],
    trouble: str = "",
) -> Snapshot:
    """Read raw objects into a snapshot; an object this version cannot read becomes a note, not a failure."""
    notes: list[str] = []
    return Snapshot(
        namespace,
        _read_all(Population, populations, notes),
        _read_all(Specialist, specialists, notes),
        tuple(notes),
        trouble,
    )


def _read_all(model: type[_M], items: list[dict[str, Any]], notes: list[str]) -> tuple[_M, ...]:
    found: list[_M] = []
    for item in sorted(items, key=_name):
        try:
            found.append(_read(model, item))
        except ClusterError as error:
            notes.append(f"{error.message} {error.remedy}")
    return tuple(found)


def _read(model: type[_M], item: dict[str, Any]) -> _M:
    try:
        return model.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ClusterError(
            f"{model.__name__} {_name(item)} cannot be read by this version: {where}: {first['msg']}.",
            "Use the kubectl-ecology of the operator's version.",
        ) from error


def _owner_uids(item: dict[str, Any]) -> set[str]:
    return {str(owner.get("uid")) for owner in item.get("metadata", {}).get("ownerReferences", ())}


def _name(item: dict[str, Any]) -> str:
    return str(item.get("metadata", {}).get("name", "?"))


def _mapping(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ClusterError("The API server's answer is not a JSON object.", "Check the server's address.")
    return found


def _annotated(annotation: str, value: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {annotation: value}}}
