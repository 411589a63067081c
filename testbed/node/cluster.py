"""The testbed's cluster with one node: real pods, Services and DNS, on this machine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from testbed import commands
from testbed.binaries import Binaries
from testbed.commands import Layout, Network
from testbed.controlplane import ControlPlane
from testbed.errors import AlreadyRunning, NotRunning
from testbed.node import cgroups, images, kubelet, kuberay, leftovers, network, ranges, system
from testbed.node.errors import NodeUnsupported
from testbed.node.layout import NodeLayout
from testbed.node.leftovers import NodeRecord
from testbed.node.parts import Node, Programs
from testbed.node.pods import PodCluster
from testbed.places import Progress, exclusive, say
from testbed.processes import Command, Process
from testbed.runs import read_state
from testbed.start import Start

_READY_SECONDS = 90.0
_GRACE_SECONDS = 10.0
# In this order they end: nothing may start a pod again while the pods are ended.
_ENDED_BEFORE_PODS = ("kube-proxy", "coredns", "kubelet", "kube-scheduler")
# What pods need beside that which every cluster needs.
CONTROLLERS = (
    *commands.CONTROLLERS,
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "ephemeral-volume-controller",
    "job-controller",
    "node-lifecycle-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "resourcequota-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
)


class NodeCluster(ControlPlane, PodCluster):
    """A control plane with one node, which runs real pods; it needs root, and a machine has one at a time.

    ``with NodeCluster() as cluster:`` starts it and takes all of it away again. While another process holds
    a node, the start waits for its end. Nothing listens where another machine could reach it.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        binaries: Binaries | None = None,
        audit: bool = False,
        detached: bool = False,
        progress: Progress = say,
    ) -> None:
        super().__init__(directory, binaries=binaries, audit=audit, detached=detached, progress=progress)
        self._node: Node | None = None
        self._claim: NodeRecord | None = None
        self._machine = ExitStack()

    @property
    def node_name(self) -> str:
        """The name of the node."""
        return kubelet.NODE_NAME

    @property
    def node_address(self) -> str:
        """The node's address: a server of this machine that pods must reach listens here."""
        return self._parts.ranges.node

    @property
    def pod_cidr(self) -> str:
        """The range of the pods' addresses; this machine reaches them."""
        return str(self._parts.ranges.pods)

    @property
    def service_cidr(self) -> str:
        """The range of the Services' addresses; this machine reaches them, as pods do."""
        return str(self._parts.ranges.services)

    def start(self) -> None:
        """Start everything and wait until the node is ready.

        Raises what ControlPlane.start raises, and NodeUnsupported.
        """
        system.require(self._progress)
        _refuse_a_second_one()
        with ExitStack() as machine:
            why = "a machine has one node at a time"
            machine.enter_context(exclusive(leftovers.LOCK, self._progress, why))
            make_room(self._progress)
            if network.has_foreign_proxy():
                raise NodeUnsupported(
                    "This machine is a node of another Kubernetes: its kube-proxy has rules here, which a "
                    "second one would fight. Use that cluster: set KUBECONFIG and "
                    "MODELECOLOGY_USE_KUBECONFIG=1."
                )
            super().start()
            self._machine = machine.pop_all()

    def stop(self) -> None:
        """Take all of it away; the folder stays if it was given."""
        try:
            super().stop()
        finally:
            self._machine.close()

    def release(self) -> None:
        """Let a detached cluster outlive this process. Raises NotRunning."""
        super().release()
        self._machine.close()

    def load_image(self, tar: Path) -> tuple[str, ...]:
        return self._parts.containers.load(tar)

    def has_image(self, name: str) -> bool:
        """Whether pods can use an image of this name."""
        return self._parts.containers.has(name)

    def layers(self) -> frozenset[str]:
        """The digests of the layers that the node has, and of what else of images."""
        return self._parts.containers.blobs()

    def kill_kubelet(self) -> None:
        """SIGKILL kubelet; its pods go on."""
        self._process("kubelet").kill()

    def start_kubelet(self) -> None:
        """Start kubelet again and wait until it is healthy."""
        self._again("kubelet", self._parts.kubelet_is_healthy)

    def install_kuberay(self) -> None:
        kuberay.install(self, self.load_image, self._progress)
        # So that the garbage collector knows the new kinds now, not in half a minute.
        self.restart_controllers()

    @property
    def _parts(self) -> Node:
        if self._node is None:
            raise NotRunning("The cluster is not running. Call start() or use it in a with statement.")
        return self._node

    def _choose_network(self, layout: Layout) -> Network:
        NodeLayout.of(layout.root).check()
        chosen = ranges.choose(ranges.taken())
        return Network(chosen.node, chosen.services)

    def _apiserver(self, run: Start) -> Command:
        flags = self._parts.apiserver_flags()
        return commands.apiserver(
            run.binaries, run.layout, run.keys, run.ports, run.network, audit=self._audit, more=flags
        )

    def _controllers(self, run: Start, program: Path) -> Command:
        return commands.controllers(program, run.layout, run.keys, run.ports, CONTROLLERS)

    def _launch(self, command: Command) -> Process:
        process = super()._launch(command)
        cgroups.adopt(process.identity.pid)
        return process

    def _start_processes(self, run: Start) -> None:
        self._progress("starting a cluster with a node")
        programs = Programs.find(self._progress)
        pause = images.pause_image()
        self._node = node = Node(run, programs, pause.name, datetime.now(UTC))
        settings = network.read_settings((*network.SYSCTLS, *kubelet.SYSCTLS))
        self._claim = NodeRecord(run=run.layout.root, settings=settings)
        self._claim.write()
        network.set_up(node.ranges)
        cgroups.make()
        daemon = self._launch(node.containerd())
        super()._start_processes(run)
        self._launch(node.scheduler())
        self._launch(node.dns())
        self._launch(node.proxy())
        self.kubectl("apply", "--server-side", "--filename=-", stdin=node.objects())
        daemon.wait_ready(node.containers.is_ready, _READY_SECONDS)
        if node.containers.remove_all():
            # It knew containers of a run that ended in a crash, and would show them to kubelet.
            daemon.stop(_GRACE_SECONDS)
            daemon = self._launch(node.containerd())
            daemon.wait_ready(node.containers.is_ready, _READY_SECONDS)
        node.containers.load(pause.tar)
        self._launch(node.kubelet())
        for name, ready in (
            ("kubelet", node.kubelet_is_healthy),
            ("kube-scheduler", node.scheduler_is_ready),
            ("coredns", node.dns_is_ready),
            ("kube-proxy", node.proxy_is_ready),
        ):
            self._process(name).wait_ready(ready, _READY_SECONDS)
        self.wait_node_ready()

    def wait_node_ready(self) -> None:
        """Wait until the node takes pods."""
        wanted = (f"node/{self.node_name}", f"--timeout={_READY_SECONDS:.0f}s")
        self.kubectl("wait", "--for=create", *wanted)
        self.kubectl("wait", "--for=condition=Ready", *wanted)

    def _stop_processes(self) -> None:
        node, self._node = self._node, None
        claim, self._claim = self._claim, None
        if node is None or claim is None:
            super()._stop_processes()
            return
        for name in _ENDED_BEFORE_PODS:
            if name in self._processes:
                self._processes[name].stop(_GRACE_SECONDS)
        leftovers.end_pods(node.layout)
        super()._stop_processes()
        leftovers.remove(claim)


def _refuse_a_second_one() -> None:
    """Raise AlreadyRunning if this process has the machine's node: it would wait for itself."""
    record = leftovers.read_record()
    state = read_state(record.run) if record is not None else None
    if state is not None and state.owner is not None and state.owner.pid == os.getpid():
        raise AlreadyRunning("This process has a cluster with a node already. Use it, or stop it first.")


def make_room(progress: Progress) -> None:
    """Take away a node whose starter is gone; raises AlreadyRunning if there is one that runs by itself.

    The caller holds the machine's lock, so that no live process has a node.
    """
    record = leftovers.read_record()
    if record is None:
        return
    state = read_state(record.run)
    if state is not None and state.owner is None and state.is_running():
        raise AlreadyRunning(
            f"This machine has a node already, of the cluster in {record.run}. Use it: "
            f"MODELECOLOGY_USE_KUBECONFIG=1 KUBECONFIG={Layout(record.run).kubeconfig}; or end it: "
            f"python -m testbed cluster down --dir {record.run}"
        )
    progress(f"taking away what is left of the node in {record.run}")
    take_down(record)


def take_down(record: NodeRecord) -> list[str]:
    """End a node that another process started; the names of the processes that were alive."""
    state = read_state(record.run)
    ended: list[str] = []
    if state is not None:
        early = [p for name in _ENDED_BEFORE_PODS for p in state.processes if p.name == name]
        ended += [p.name for p in early if p.identity.end(_GRACE_SECONDS)]
    leftovers.end_pods(record.layout)
    if state is not None:
        ended += state.end_processes()
    leftovers.remove(record)
    return ended
