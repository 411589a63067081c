"""The ranges of pods and Services: never those that the machine reaches otherwise."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.commands import Network
from testbed.node import ranges
from testbed.node.errors import NodeUnsupported
from testbed.node.ranges import Ranges

_networks = st.builds(
    lambda address, length: ipaddress.IPv4Network((address, length), strict=False),
    st.integers(0x0AD00000, 0x0ADFFFFF),  # 10.208.0.0 to 10.223.255.255
    st.integers(12, 32),
)


@given(st.lists(_networks, max_size=6))
def test_the_chosen_ranges_overlap_with_nothing_that_is_taken(taken: list[ipaddress.IPv4Network]) -> None:
    try:
        chosen = ranges.choose(taken)
    except NodeUnsupported:
        firsts = [ipaddress.IPv4Network(f"10.{n}.0.0/23") for n in range(213, 223)]
        assert all(any(first.overlaps(other) for other in taken) for first in firsts)
        return
    assert not any(chosen.pods.overlaps(other) or chosen.services.overlaps(other) for other in taken)
    assert not chosen.pods.overlaps(chosen.services)


def test_the_addresses_lie_in_their_ranges() -> None:
    chosen = ranges.choose([])
    network = Network(chosen.node, chosen.services)
    assert ipaddress.IPv4Address(chosen.node) in chosen.pods
    assert ipaddress.IPv4Address(chosen.dns) in chosen.services
    assert network.kubernetes_service == str(chosen.services[1])
    assert Ranges.of(network) == chosen


def test_a_machine_without_a_free_range_is_told() -> None:
    with pytest.raises(NodeUnsupported, match="ip route"):
        ranges.choose([ipaddress.IPv4Network("10.0.0.0/8")])
