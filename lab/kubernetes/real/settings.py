"""The files that containerd, kubelet, kube-proxy and the network plugins are started with.

Paths are those inside the node's mount namespace, where /run is the node's own.
"""

import json
from pathlib import Path
from typing import Any

from lab.kubernetes.real.slot import Slot

HOME = Path("/run/mooring")
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
PAUSE_IMAGE = "mooring.dev/lab/pause:1"
KUBELET_PORT, PROXY_HEALTH_PORT, DNS_READY_PORT = 10250, 10256, 8181
DOMAIN = "cluster.local"


def containerd(*, runc: str, plugins: Path) -> str:
    """Its own TOML: images, containers and networks for the kubelet, all of it below /run."""
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    return f"""\
version = 3
imports = []
root = "{HOME}/containerd"
state = "/run/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins.'io.containerd.internal.v1.opt']
path = "{HOME}/containerd/opt"
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[{runtime}]
# Lowering a process's badness takes a capability that not every machine's root has.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{runtime}.cni]
bin_dirs = ["{plugins}"]
conf_dir = "{HOME}/network"
[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{runtime}.containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"""


def network(slot: Slot) -> str:
    """A bridge for the pods. Their own addresses are known to the host, so nothing is translated on the way there."""
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": slot.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": f"{HOME}/addresses",
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "backend": "nftables", "snat": True}
    return json.dumps({"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, ports]}, indent=2)


def kubelet(slot: Slot, *, certificate: Path, key: Path, ca: Path) -> dict[str, Any]:
    """A kubelet that shares its machine: it reserves nothing, evicts nothing and changes no setting of the kernel's."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": slot.node_address,
        "port": KUBELET_PORT,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{slot.cgroup}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "clusterDomain": DOMAIN,
        "clusterDNS": [slot.host_address],
        "resolvConf": "",
        "podLogsDir": f"{HOME}/pod-logs",
        "volumePluginDir": f"{HOME}/kubelet/volume-plugins",
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "2s",  # a changed Secret is in its pods within seconds instead of a minute or two
        "shutdownGracePeriod": "0s",
    }


def kube_proxy(slot: Slot, kubeconfig: Path, node: str) -> dict[str, Any]:
    """Services by nftables, in the node's own tables; the limits of connection tracking are the host's business."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": slot.pods,
        "hostnameOverride": node,
        "healthzBindAddress": f"{slot.node_address}:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "tcpBeLiberal": False,
        },
        "nftables": {"syncPeriod": "5s", "minSyncPeriod": "0s"},
    }


def dns(slot: Slot, kubeconfig: Path) -> str:
    """The cluster's names, for pods. There is no way from here to the world, so other names are refused."""
    return f"""\
.:53 {{
    bind {slot.host_address}
    ready {slot.host_address}:{DNS_READY_PORT}
    errors
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}
"""
