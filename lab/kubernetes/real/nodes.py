"""The third kind of nodes: one node, on which containers really run. Its processes are members like others."""

import functools
import http.client
import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lab.archives import Contents, program_layer, write_archive
from lab.errors import UsageError
from lab.folder import Folder, write
from lab.kubernetes.api import TIMEOUT_SECONDS
from lab.kubernetes.nodes import REAL_NODE, Nodes, is_ready, scheduler
from lab.kubernetes.real import settings
from lab.kubernetes.real.inside import held, import_image, inside, ready_file, runtime_answers
from lab.kubernetes.real.slot import Slot, remember, take
from lab.member import Member

if TYPE_CHECKING:
    from lab.kubernetes.control_plane import ControlPlane

READY_SECONDS = 60.0
PLUGINS = ("bridge", "host-local", "loopback", "portmap")
NEEDED = {"runc": "runc", "nft": "nftables", "ip": "iproute2", "nsenter": "util-linux", "mount": "mount"}
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"  # where runc and nft are, and not in everybody's PATH
# What kubelet wants of the kernel. It gets to see these, so that it has nothing to change on a machine that it shares.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Folders of the host's that its node has for itself, empty, since kubelet and containerd write there unasked.
HIDDEN = ("/run", "/var/lib", "/var/log")
NETWORK_SETTINGS = {"ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1"}


class RealNodes(Nodes):
    """One node: what runs on it runs in the node's own namespaces, and ends with them."""

    binaries: tuple[str, ...] = (
        *(
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "containerd",
            "containerd-shim-runc-v2",
            "ctr",
            "pause",
            "coredns",
        ),
        *PLUGINS,
    )
    controllers = ("*",)

    def __init__(self) -> None:
        self._taken: tuple[Slot, socket.socket] | None = None

    @staticmethod
    def require() -> None:
        """Say in a line what this machine lacks."""
        if os.geteuid() != 0:
            raise UsageError("--nodes real needs root: run it as root, or choose --nodes simulated")
        missing = [package for command, package in NEEDED.items() if not shutil.which(command, path=_search_path())]
        if missing:
            raise UsageError(
                f"--nodes real needs {' and '.join(missing)}, which this machine lacks: run `make node-deps` as root"
            )

    @property
    def slot(self) -> Slot:
        """This lab's addresses and names, from the first question to the end of the process."""
        if self._taken is None:
            self._taken = take()
        return self._taken[0]

    @property
    def address(self) -> str:
        return self.slot.host_address

    @property
    def service_range(self) -> str:
        return self.slot.services

    @property
    def env(self) -> Mapping[str, str]:
        return {"LAB_HOST_ADDRESS": self.address}

    def api_server_options(self, plane: "ControlPlane") -> Mapping[str, object]:
        """How it reaches the kubelet, and where pods reach it."""
        pair, ca = plane.credentials.api_server, plane.credentials.authority.certificate
        return {
            "endpoint-reconciler-type": "lease",
            "kubelet-client-certificate": pair.certificate,
            "kubelet-client-key": pair.key,
            "kubelet-certificate-authority": ca,
            "kubelet-preferred-address-types": "InternalIP",
        }

    def foundation(self, folder: Folder, binaries: Mapping[str, Path]) -> Sequence[Member]:
        """The namespaces and the container runtime: both are there before the API server is."""
        remember(folder, self.slot)
        self.slot.prepare_cgroups()
        return self._holder(folder, binaries), self._containerd(folder, binaries)

    def members(self, plane: "ControlPlane") -> Sequence[Member]:
        return scheduler(plane), self._kubelet(plane), self._kube_proxy(plane), self._dns(plane)

    def join(self, plane: "ControlPlane") -> None:
        """Bring the image that every pod starts with; the kubelet brings the node."""
        home = plane.folder.node
        layer = program_layer(home / "pause-layer.tar", plane.binaries["pause"])
        archive = write_archive(home / "pause.tar", settings.PAUSE_IMAGE, Contents(layer, ["/pause"]))
        import_image(plane.folder, plane.binaries["ctr"], archive)

    def clean(self) -> None:
        """Everything has ended: remove what does not end by itself, then give the number back."""
        if self._taken:
            slot, holder = self._taken
            slot.sweep()
            holder.close()

    def _holder(self, folder: Folder, binaries: Mapping[str, Path]) -> Member:
        home, plan = settings.HOME, folder.settings / "node.json"
        ready = ready_file(folder)
        shared = {home / "network": folder.node / "network", home / "pod-logs": folder.logs / "pods"}
        for place in shared.values():
            place.mkdir()
        write(folder.node / "network" / "10-lab.conflist", settings.network(self.slot))
        content = {
            "interface": self.slot.interface,
            "host_address": self.slot.host_address,
            "node_address": self.slot.node_address,
            "networks": [self.slot.pods, self.slot.services],
            "network_settings": NETWORK_SETTINGS,
            "kernel_settings": KERNEL_SETTINGS,
            "empty": HIDDEN,
            "kept": sorted({str(folder.path), *(str(path.parent) for path in binaries.values())}),
            "binds": [(str(outside), str(there)) for there, outside in shared.items()],
            "ready": str(ready),
        }
        write(plan, json.dumps(content, indent=2))
        return Member("node", held(plan), ready.exists, environment=_environment())

    def _containerd(self, folder: Folder, binaries: Mapping[str, Path]) -> Member:
        config = folder.settings / "containerd.toml"
        runc = shutil.which("runc", path=_search_path()) or "runc"
        write(config, settings.containerd(runc=runc, plugins=_plugins(folder, binaries)))
        command = (str(binaries["containerd"]), f"--config={config}", "--log-level=warn")
        # containerd looks for the shim in its PATH; which folder that is in depends on where binaries come from.
        environment = _environment(binaries["containerd-shim-runc-v2"].parent)
        return self._inside(folder, "containerd", command, lambda: runtime_answers(folder), environment)

    def _kubelet(self, plane: "ControlPlane") -> Member:
        config, keys = plane.folder.settings / "kubelet.yaml", plane.credentials
        pair = keys.authority.issue("kubelet", hosts=[self.slot.node_address, REAL_NODE])
        content = settings.kubelet(self.slot, certificate=pair.certificate, key=pair.key, ca=keys.authority.certificate)
        write(config, yaml.safe_dump(content, sort_keys=False))
        command = (
            str(plane.binaries["kubelet"]),
            f"--config={config}",
            f"--kubeconfig={plane.kubeconfig('kubelet')}",
            f"--root-dir={settings.HOME}/kubelet",
            f"--hostname-override={REAL_NODE}",
            f"--node-ip={self.slot.node_address}",
        )

        def ready() -> bool:
            node = plane.api.get(f"/api/v1/nodes/{REAL_NODE}")
            return node is not None and is_ready(node)

        return self._inside(plane.folder, "kubelet", command, ready)

    def _kube_proxy(self, plane: "ControlPlane") -> Member:
        config = plane.folder.settings / "kube-proxy.yaml"
        content = settings.kube_proxy(self.slot, plane.kubeconfig("kube-proxy"), REAL_NODE)
        write(config, yaml.safe_dump(content, sort_keys=False))
        command = (str(plane.binaries["kube-proxy"]), f"--config={config}")
        ready = functools.partial(_answers, f"{self.slot.node_address}:{settings.PROXY_HEALTH_PORT}", "/healthz")
        return self._inside(plane.folder, "kube-proxy", command, ready)

    def _dns(self, plane: "ControlPlane") -> Member:
        """It runs outside, at the one address that both sides know."""
        config = plane.folder.settings / "Corefile"
        write(config, settings.dns(self.slot, plane.kubeconfig("dns")))
        command = (str(plane.binaries["coredns"]), f"-conf={config}")
        ready = functools.partial(_answers, f"{self.address}:{settings.DNS_READY_PORT}", "/ready")
        return Member("coredns", command, ready, ready_seconds=READY_SECONDS)

    def _inside(
        self,
        folder: Folder,
        name: str,
        command: tuple[str, ...],
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> Member:
        """A process that runs in the node's namespaces."""
        found = environment or _environment()
        return Member(name, inside(folder, command), ready, ready_seconds=READY_SECONDS, environment=found)


def _plugins(folder: Folder, binaries: Mapping[str, Path]) -> Path:
    """One folder with all network plugins: each may come from a place of its own."""
    place = folder.node / "plugins"
    place.mkdir(exist_ok=True)
    for name in PLUGINS:
        (place / name).symlink_to(binaries[name])
    return place


def _answers(host: str, path: str) -> bool:
    """Whether a server without TLS says that it is well."""
    connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment(*before: Path) -> dict[str, str]:
    return {"PATH": ":".join([*map(str, before), _search_path()])}


def _search_path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_FOLDERS}"
