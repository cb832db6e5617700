"""A real node as its users see it, by kubectl; and the machine as it is without one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import Lab, binaries
from lab.kubernetes.real.slot import Slot

WORD = "anchor"
PAUSE = "mooring.dev/lab/pause:1"
SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
PLACES = ("/etc/cni", "/opt", "/run", "/run/netns", "/var/lib", "/var/log")


@dataclass
class Node:
    """A lab with a real node."""

    lab: Lab
    _kubectl: Path = field(default_factory=lambda: binaries.find("kubectl"))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl says; its complaint is the test's failure."""
        done = subprocess.run(
            [self._kubectl, f"--kubeconfig={self.lab.env['KUBECONFIG']}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def serve(self, image: str) -> None:
        """Two replicas behind a Service, with the CA of the lab's GitHub at hand."""
        authority = Path(self.lab.env["MOORING_GITHUB_CA_FILE"]).read_text()
        container = {
            "name": "main",
            "image": image,
            "imagePullPolicy": "Never",
            "readinessProbe": {"httpGet": {"path": "/word", "port": 8000}, "periodSeconds": 1},
            "volumeMounts": [{"name": "github", "mountPath": "/github"}],
        }
        self.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "github"}, "data": {"ca.pem": authority}},
            deployment("served", 2, container, volumes=[{"name": "github", "configMap": {"name": "github"}}]),
            service("served", 8000),
        )
        self.available("served")

    def available(self, name: str) -> None:
        self.kubectl("wait", "--for=condition=Available", f"deployment/{name}", "--timeout=60s")

    def hold(self, name: str) -> None:
        """A pod that only waits, with the kinds of mounts that pods have."""
        container = {
            "name": "main",
            "image": PAUSE,
            "imagePullPolicy": "Never",
            "volumeMounts": [{"name": "memory", "mountPath": "/memory"}],
        }
        volumes = [{"name": "memory", "emptyDir": {"medium": "Memory"}}]
        self.apply(deployment(name, 1, container, volumes=volumes))
        self.available(name)

    def python(self, code: str) -> str:
        """Run something in a pod of the Deployment `served`."""
        return self.kubectl("exec", "deployment/served", "--", "python3", "-c", code).strip()

    def cluster_ip(self, name: str) -> str:
        return self.kubectl("get", "service", name, "--output=jsonpath={.spec.clusterIP}")


def deployment(name: str, replicas: int, container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    labels = {"app": name}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def machine() -> dict[str, object]:
    """All of the machine that a real node could change, apart from what bears the number of a lab."""
    return {
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "pytest" not in line],
        "interfaces": [line for line in said("ip", "-oneline", "link", "show").splitlines() if "mooring" not in line],
        "routes": [line for line in said("ip", "route", "show").splitlines() if "mooring" not in line],
        "tables": said("/usr/sbin/nft", "list", "tables"),
        "settings": {name: Path("/proc/sys", name).read_text() for name in SETTINGS},
        "places": {place: sorted(each.name for each in _listing(place)) for place in PLACES},
    }


def number_of(lab: Lab) -> int:
    return int((lab.folder.node / "number").read_text())


def traces(number: int) -> set[str]:
    """What there is on this machine of the lab with this number; other labs may come and go meanwhile."""
    slot = Slot(number)
    found = {str(place / slot.cgroup) for place in slot.hierarchies if (place / slot.cgroup).exists()}
    found |= {line for line in said("ip", "route", "show").splitlines() if f"dev {slot.interface} " in line}
    found |= {str(path) for path in [Path("/sys/class/net", slot.interface)] if path.exists()}
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return found | {each[-1] for each in sockets if each[-1] == f"@mooring-lab/node/{number}"}


def members(lab: Lab) -> set[int]:
    """Every process of the node: those in its namespaces, and those in its cgroups."""
    number = number_of(lab)
    holder = (lab.folder.node / "ready").read_text().strip()
    mounts = Path(f"/proc/{holder}/ns/mnt").readlink()
    return {pid for pid in _pids() if _belongs(pid, mounts, f"/mooring-lab-{number}/")}


def running(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def _belongs(pid: int, mounts: Path, cgroup: str) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/mnt").readlink() == mounts or cgroup in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False  # it ended while we looked


def _pids() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def _listing(place: str) -> list[Path]:
    return list(Path(place).iterdir()) if Path(place).is_dir() else []
