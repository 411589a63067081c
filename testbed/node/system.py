"""What a node needs of the machine: rights, programs of Debian's packages, and features of the kernel."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.node.errors import NodeProgramFailed, NodeUnsupported
from testbed.places import Progress

# A user's PATH often lacks the places of the administrator's programs.
PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
# program: the package of Debian and Ubuntu that has it
PROGRAMS: Mapping[str, str] = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ctr": "containerd",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "ip6tables-restore": "iptables",
    "ip6tables-save": "iptables",
    "iptables-save": "iptables",
    "mount": "mount",
    "umount": "mount",
    "nsenter": "util-linux",
    "runc": "runc",
}
_CNI_PACKAGE = "containernetworking-plugins"
_CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
_CNI_PLUGINS = ("bridge", "host-local", "loopback")
_LAST_LINES = 15
_OWN_CLUSTER = "Or use a cluster of your own: set KUBECONFIG and MODELECOLOGY_USE_KUBECONFIG=1."


def require(progress: Progress) -> None:
    """See that a node can run here, and install packages that lack, saying so.

    Raises NodeUnsupported with everything that is missing and the remedy.
    """
    require_root()
    packages = missing_packages()
    if packages:
        _install(packages, progress)
    lacking = _lacking_features()
    if lacking:
        raise NodeUnsupported(
            f"This kernel cannot run a node: {'; '.join(lacking)}. Use another machine. {_OWN_CLUSTER}"
        )


def require_root() -> None:
    """Raise NodeUnsupported unless this is Linux and the user is root."""
    if platform.system() != "Linux":
        raise NodeUnsupported(f"A node needs Linux. {_OWN_CLUSTER}")
    if os.geteuid() != 0:
        raise NodeUnsupported(
            "A node needs root: it makes containers, a bridge and packet rules. Run this as root (sudo). "
            f"{_OWN_CLUSTER}"
        )


def missing_packages() -> list[str]:
    """The packages whose programs are not on this machine."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None}
    if cni_folder() is None:
        missing.add(_CNI_PACKAGE)
    return sorted(missing)


def program(name: str) -> Path:
    """Where a program of the system is; raises NodeUnsupported."""
    found = shutil.which(name, path=PATH)
    if found is None:
        package = PROGRAMS.get(name, name)
        raise NodeUnsupported(f"There is no {name}. Install it with: apt-get install {package}")
    return Path(found)


def cni_folder() -> Path | None:
    """The folder of the CNI plugins that a node uses; None if no known folder has them."""
    return next(
        (f for f in _CNI_FOLDERS if all(os.access(f / plugin, os.X_OK) for plugin in _CNI_PLUGINS)), None
    )


def run(name: str, *arguments: str, stdin: str | None = None) -> str:
    """Run a program of the system; its standard output. Raises NodeProgramFailed or NodeUnsupported."""
    done = attempt(name, *arguments, stdin=stdin)
    if done.returncode != 0:
        raise NodeProgramFailed(
            f"{name} {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout


def attempt(name: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of the system that may well fail. Raises NodeUnsupported if there is none."""
    return subprocess.run(
        [str(program(name)), *arguments], input=stdin or "", capture_output=True, text=True, check=False
    )


def _install(packages: Sequence[str], progress: Progress) -> None:
    names = " ".join(packages)
    apt = shutil.which("apt-get", path=PATH)
    if apt is None:
        raise NodeUnsupported(
            f"A node needs programs of these Debian packages: {names}. This machine has no apt-get: "
            "install them by its own means."
        )
    progress(f"INSTALLING PACKAGES ON THIS MACHINE, once: apt-get install {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Never take a package away to make room for one of ours: a machine may have another containerd.
    install = [apt, "install", "--yes", "--no-install-recommends", "--no-remove", *packages]
    for command in ([apt, "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n  ".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise NodeUnsupported(f"apt-get could not install {names}. Install them by hand. It said:\n  {last}")


def _lacking_features() -> list[str]:
    lacking = []
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        _load("overlay")
        if "\toverlay\n" not in Path("/proc/filesystems").read_text():
            lacking.append("no overlay file system")
    if attempt("iptables", "-w", "-t", "nat", "-S").returncode != 0:
        lacking.append("no iptables nat table, or no right to use it")
    if not bridge_filter():
        lacking.append("no br_netfilter")
    if not any(Path("/sys/fs/cgroup").iterdir()):
        lacking.append("no cgroups in /sys/fs/cgroup")
    return lacking


def bridge_filter() -> bool:
    """Whether packets that cross a bridge pass iptables; the module is loaded if that is possible."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not setting.exists():
        _load("br_netfilter")
    return setting.exists()


def _load(module: str) -> None:
    """Load a kernel module where that is possible; the caller looks whether the feature is there now."""
    if shutil.which("modprobe", path=PATH) is not None:
        attempt("modprobe", module)
