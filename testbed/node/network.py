"""The node's network: a bridge with the node's address, kernel settings, packet rules, and the CNI's file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from testbed.node import system
from testbed.node.errors import NodeUnsupported
from testbed.node.layout import NodeLayout
from testbed.node.ranges import Ranges

BRIDGE = "modelecology0"
_BRIDGE_ADDRESS = "02:6d:65:00:00:01"
# Of Services: kube-proxy's, and the canaries that it and kubelet leave to see whether someone flushed them.
PROXY_PREFIX = "KUBE-"
OWN_PREFIX = "MODELECOLOGY-"
_FORWARD = f"{OWN_PREFIX}FORWARD"
_OUT = f"{OWN_PREFIX}OUT"
_SETTINGS = Path("/proc/sys")
# A Service's answer from a pod to a pod crosses the bridge only: it must pass iptables to be translated back.
SYSCTLS = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}


def cni_config(ranges: Ranges, layout: NodeLayout) -> str:
    """The CNI's file: pods hang on the bridge and get their addresses from a file.

    Without ``ipMasq``: it would leave a rule for each pod that dies uncleanly. One rule does for all.
    """
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(layout.cni / "addresses"),
            "ranges": [[{"subnet": str(ranges.pods), "gateway": ranges.node}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "modelecology-testbed", "plugins": [bridge]}, indent=2)


def read_settings(names: Iterable[str]) -> dict[str, str]:
    """The kernel settings as they are; those that this kernel lacks are left out."""
    return {name: (_SETTINGS / name).read_text().strip() for name in names if (_SETTINGS / name).exists()}


def write_settings(settings: dict[str, str]) -> None:
    """Change the kernel settings that differ. Raises NodeUnsupported where that is not allowed."""
    for name, value in settings.items():
        path = _SETTINGS / name
        if path.exists() and path.read_text().strip() != value:
            try:
                path.write_text(value)
            except OSError as error:
                raise NodeUnsupported(
                    f"A node needs {name.replace('/', '.')} = {value}, and {path} cannot be written "
                    f"({error.strerror}). Set it by sysctl on the machine itself."
                ) from error


def set_up(ranges: Ranges) -> None:
    """Make the bridge and the rules. The caller has noted beforehand that they are to be taken away."""
    write_settings(SYSCTLS)
    # With no address of its own a bridge takes a pod's, and loses it with that pod: connections stall then.
    system.run("ip", "link", "add", BRIDGE, "address", _BRIDGE_ADDRESS, "type", "bridge")
    system.run("ip", "address", "add", f"{ranges.node}/{ranges.pods.prefixlen}", "dev", BRIDGE)
    system.run("ip", "link", "set", BRIDGE, "up")
    # Services are reached from this machine too, also where it has no default route.
    system.run("ip", "route", "add", str(ranges.services), "dev", BRIDGE, "src", ranges.node)
    system.run("iptables-restore", "--noflush", "-w", "10", stdin=_rules(ranges))


def take_down() -> None:
    """Take away the bridge and all rules of it, of kube-proxy and of kubelet, as far as they are there."""
    for family in ("iptables", "ip6tables"):
        saved = system.attempt(f"{family}-save").stdout
        removal = rules_removal(saved)
        if removal:
            system.run(f"{family}-restore", "--noflush", "-w", "10", stdin=removal)
    system.attempt("ip", "link", "delete", BRIDGE)


def rules_removal(saved: str) -> str:
    """What iptables-restore must be told to take away a node's rules, given the text of iptables-save."""
    parts: list[str] = []
    for table, lines in _tables(saved):
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        ours = [chain for chain in chains if chain.startswith((PROXY_PREFIX, OWN_PREFIX))]
        if not ours:
            continue
        jumps = [
            f"-D {line.removeprefix('-A ')}"
            for line in lines
            if line.startswith("-A ") and line.split()[1] not in ours and _target(line) in ours
        ]
        # To name a chain flushes it; only then can those that others jump to be deleted.
        parts += [f"*{table}", *(f":{chain} - [0:0]" for chain in ours), *jumps]
        parts += [*(f"-X {chain}" for chain in ours), "COMMIT", ""]
    return "\n".join(parts)


def has_foreign_proxy() -> bool:
    """Whether another kube-proxy has rules on this machine, which ours would fight."""
    return f":{PROXY_PREFIX}SERVICES" in system.run("iptables-save", "-t", "nat")


def _tables(saved: str) -> list[tuple[str, list[str]]]:
    tables: list[tuple[str, list[str]]] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            tables.append((line[1:], []))
        elif tables and line.startswith((":", "-A ")):
            tables[-1][1].append(line)
    return tables


def _target(rule: str) -> str:
    words = rule.split()
    return next((words[i + 1] for i, word in enumerate(words[:-1]) if word in {"-j", "-g"}), "")


def _rules(ranges: Ranges) -> str:
    """Pods may open connections to anywhere and be answered; other machines may not open any to pods."""
    return f"""\
*filter
:{_FORWARD} - [0:0]
-A {_FORWARD} -i {BRIDGE} -j ACCEPT
-A {_FORWARD} -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A {_FORWARD} -o {BRIDGE} -j DROP
-I FORWARD 1 -j {_FORWARD}
COMMIT
*nat
:{_OUT} - [0:0]
-A {_OUT} -s {ranges.pods} ! -d {ranges.pods} ! -o {BRIDGE} -j MASQUERADE
-I POSTROUTING 1 -j {_OUT}
COMMIT
"""
