"""The configuration of kubelet, kube-proxy, the scheduler and CoreDNS."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from testbed.node import dns, kubelet, proxy, ranges, scheduler
from testbed.node.errors import NodeUnsupported
from testbed.node.kubelet import KubeletPorts
from testbed.node.layout import NodeLayout
from testbed.pki import KeyPair

_RANGES = ranges.choose([])
_SERVING = KeyPair(Path("/pki/kubelet.crt"), Path("/pki/kubelet.key"))


def test_kubelet_lets_in_only_those_whom_the_api_server_allows(tmp_path: Path) -> None:
    text = kubelet.config(
        NodeLayout(tmp_path), _RANGES, KubeletPorts(1, 2), Path("/pki/ca.crt"), _SERVING, Path("/resolv")
    )
    written = yaml.safe_load(text)
    assert written["authentication"]["anonymous"] == {"enabled": False}
    assert written["authentication"]["x509"] == {"clientCAFile": "/pki/ca.crt"}
    assert written["authorization"] == {"mode": "Webhook"}
    assert (written["address"], written["readOnlyPort"]) == (_RANGES.node, 0)
    assert written["healthzBindAddress"] == "127.0.0.1"


def test_kubelet_never_throws_away_images_that_cannot_be_pulled_again(tmp_path: Path) -> None:
    text = kubelet.config(
        NodeLayout(tmp_path), _RANGES, KubeletPorts(1, 2), Path("/pki/ca.crt"), _SERVING, Path("/resolv")
    )
    assert yaml.safe_load(text)["imageGCHighThresholdPercent"] == 100


def test_kube_proxy_opens_node_ports_on_the_nodes_own_address_only() -> None:
    written = yaml.safe_load(proxy.config(_RANGES, proxy.ProxyPorts(1, 2), Path("/kubeconfig")))
    assert written["nodePortAddresses"] == [f"{_RANGES.node}/32"]
    assert written["conntrack"]["maxPerCore"] == 0
    assert written["clusterCIDR"] == str(_RANGES.pods)


def test_the_scheduler_leads_without_an_election() -> None:
    assert yaml.safe_load(scheduler.config(Path("/k")))["leaderElection"] == {"leaderElect": False}


def test_names_outside_are_asked_of_this_machines_servers_if_it_has_any(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("# none\n")
    ports = dns.DnsPorts(5353, 8181)
    assert "forward" not in dns.corefile(_RANGES, ports, Path("/k"), resolv)
    resolv.write_text("nameserver 192.0.2.53\n")
    assert f"forward . {resolv}" in dns.corefile(_RANGES, ports, Path("/k"), resolv)


def test_the_dns_service_leads_to_the_process_on_the_node() -> None:
    objects = list(yaml.safe_load_all(dns.objects(_RANGES, dns.DnsPorts(5353, 8181))))
    service, endpoints = objects[:2]
    assert service["spec"]["clusterIP"] == _RANGES.dns
    assert endpoints["endpoints"] == [{"addresses": [_RANGES.node], "conditions": {"ready": True}}]
    assert {port["port"] for port in endpoints["ports"]} == {5353}
    assert {port["protocol"] for port in endpoints["ports"]} == {"TCP", "UDP"}


def test_a_folder_whose_path_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    NodeLayout(Path("/run/node")).check()
    with pytest.raises(NodeUnsupported, match="--dir"):
        NodeLayout(tmp_path / ("long" * 30)).check()
