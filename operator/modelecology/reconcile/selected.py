"""The engines of populations that name a Service in place of addresses: followed for as long as one does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from modelecology.api.population import Population
from modelecology.kube.cache import ObjectCache
from modelecology.kube.cluster import Cluster
from modelecology.kube.endpoint_slices import Behind
from modelecology.kube.errors import KubeError

_LOG = logging.getLogger(__name__)
_FIRST_SECONDS = 2.0  # for the first list; who waits longer tries again
Service = tuple[str, str]  # namespace and name


class EnginesUnknown(KubeError):
    """Nothing was seen yet of the Service that a population selects; nothing is judged until then."""


@dataclass(slots=True)
class Selections:
    """Follows the Services that populations select; `changed` is told of each population that it concerns."""

    cluster: Cluster
    cache: ObjectCache
    changed: Callable[[Population], None]
    _tasks: dict[Service, asyncio.Task[None]] = field(default_factory=dict)
    _heard: dict[Service, asyncio.Event] = field(default_factory=dict)  # anything, good or bad
    _trouble: dict[Service, str] = field(default_factory=dict)

    async def require(self, population: Population) -> None:
        """See to it that a population's engines are followed. Raises EnginesUnknown until they were seen."""
        self.tidy()
        service = _service(population)
        if service is None:
            return
        if service not in self._tasks:
            name = f"endpoint-slices {service[0]}/{service[1]}"
            self._heard[service] = asyncio.Event()
            self._tasks[service] = asyncio.create_task(self._follow(service), name=name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                await self._heard[service].wait()
        if self.cache.behind(*service) is None:
            raise EnginesUnknown(self.trouble(population) or f"Service {service[1]} was not looked at yet")

    def trouble(self, population: Population) -> str:
        """Say why it cannot be known what is behind a population's Service now; empty if it can."""
        service = _service(population)
        said = self._trouble.get(service) if service is not None else None
        if service is None or not said:
            return ""
        return (
            f"The EndpointSlices of Service {service[1]} cannot be watched ({said}). The operator needs list "
            "and watch on them: the chart's endpointSlices.enabled, or components/endpointslices"
        )

    def tidy(self) -> None:
        """Let go of what no population selects any more."""
        used = {_service(p) for p in self.cache.populations()}
        for service in self._tasks.keys() - used:
            self._tasks.pop(service).cancel()
            self._heard.pop(service, None)
            self._trouble.pop(service, None)
            self.cache.put_behind(*service, None)

    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """List the tasks that follow; one that ended makes the operator deaf."""
        return tuple(self._tasks.values())

    async def stop(self) -> None:
        """Stop following."""
        tasks = self.tasks()
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, service: Service) -> None:
        heard = self._heard[service]

        def seen(found: Behind) -> None:
            trouble = self._trouble.pop(service, None)
            if found == self.cache.behind(*service) and trouble is None:
                return
            self.cache.put_behind(*service, found)
            heard.set()
            _LOG.info("Service %s/%s: ready %s, not ready %s", *service, found.ready, found.unready)
            self._tell(service)

        def failed(why: str) -> None:
            if self._trouble.get(service) != why:
                self._trouble[service] = why
                heard.set()
                _LOG.warning("the EndpointSlices of Service %s/%s cannot be watched: %s", *service, why)
                self._tell(service)

        await self.cluster.follow_service(*service, seen, failed)

    def _tell(self, service: Service) -> None:
        for population in self.cache.populations():
            if _service(population) == service:
                self.changed(population)


def _service(population: Population) -> Service | None:
    selector = population.spec.serving.selector
    return (population.metadata.namespace, selector.service) if selector is not None else None
