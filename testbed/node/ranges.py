"""Chooses the addresses of pods and Services: ranges that this machine does not reach otherwise."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass

from testbed.commands import Network
from testbed.node import system
from testbed.node.errors import NodeUnsupported

_SECOND_NUMBERS = range(213, 223)
_DNS = 10


@dataclass(frozen=True, slots=True)
class Ranges:
    """A node's pods and Services.

    The node's own address is the bridge's, the first of the pods' range: what listens there is reached by
    pods and by this machine, and by nobody else.
    """

    pods: ipaddress.IPv4Network
    services: ipaddress.IPv4Network

    @classmethod
    def of(cls, network: Network) -> Ranges:
        """The ranges behind the addresses of an API server."""
        return cls(ipaddress.IPv4Network(f"{network.address}/24", strict=False), network.services)

    @property
    def node(self) -> str:
        """The node's address."""
        return str(self.pods[1])

    @property
    def dns(self) -> str:
        """The address of the cluster's DNS Service."""
        return str(self.services[_DNS])


def choose(taken: Iterable[ipaddress.IPv4Network]) -> Ranges:
    """The first ranges that overlap with none of the taken ones. Raises NodeUnsupported."""
    held = list(taken)
    for number in _SECOND_NUMBERS:
        pods = ipaddress.IPv4Network(f"10.{number}.0.0/24")
        services = ipaddress.IPv4Network(f"10.{number}.1.0/24")
        if not any(pods.overlaps(other) or services.overlaps(other) for other in held):
            return Ranges(pods, services)
    raise NodeUnsupported(
        f"No address range for pods is free: tried 10.{_SECOND_NUMBERS[0]}.0.0 to "
        f"10.{_SECOND_NUMBERS[-1]}.0.0. See: ip route"
    )


def taken() -> list[ipaddress.IPv4Network]:
    """What this machine has routes to; the default route is none of them."""
    routes = json.loads(system.run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    found = (route["dst"] for route in routes if route["dst"] != "default")
    return [ipaddress.IPv4Network(dst, strict=False) for dst in found]
