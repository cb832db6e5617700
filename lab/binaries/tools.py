"""Which binaries there are, as data. A new one is an entry here and, for its dependencies, a folder in modules/."""

import hashlib
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab import cache
from lab.errors import LabError

MODULES = Path(__file__).parent.parent / "modules"
BUILD_FLAGS = ("-trimpath", "-mod=readonly", "-buildvcs=false")
BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off", "GO111MODULE": "on", "GOTOOLCHAIN": "local"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Module:
    """A go.mod and go.sum of ours that pin one product and all that it depends on."""

    name: str
    product: str  # the Go module whose version is the product's; the module itself where the program is ours
    version_variables: tuple[str, ...] = ()  # package paths whose gitVersion, gitMajor, gitMinor tell the version
    tags: tuple[str, ...] = ()  # what to leave out, or to take in

    @property
    def folder(self) -> Path:
        return MODULES / self.name

    @cached_property
    def go_mod(self) -> str:
        return (self.folder / "go.mod").read_text()

    @property
    def path(self) -> str:
        """Its own name as a Go module."""
        return self._match(r"^module (\S+)$")

    @property
    def version(self) -> str:
        """The product's version, such as v1.2.3; a program of ours has none, and is known by its source."""
        if self.product == self.path:
            return "v0.0.0"
        return self._match(rf"^\s*(?:require )?{re.escape(self.product)} (v\S+)")

    @property
    def go_version(self) -> tuple[int, ...]:
        """The oldest Go that can build it."""
        return tuple(int(part) for part in self._match(r"^go (\d+\.\d+(?:\.\d+)?)$").split("."))

    @property
    def flags(self) -> tuple[str, ...]:
        """What the compiler is told beside the package."""
        tags = (f"-tags={','.join(self.tags)}",) if self.tags else ()
        return (*BUILD_FLAGS, *tags, "-ldflags", self.linker_flags)

    @property
    def linker_flags(self) -> str:
        major, minor, _ = self.version.removeprefix("v").split(".", 2)
        values = {"gitVersion": self.version, "gitMajor": major, "gitMinor": minor}
        stamps = [f"-X {path}.{name}={value}" for path in self.version_variables for name, value in values.items()]
        return " ".join(["-s -w", *stamps])

    @cached_property
    def key(self) -> str:
        """What the module's binaries are made from, in sixteen characters."""
        digest = hashlib.sha256()
        parts = [self.go_mod, (self.folder / "go.sum").read_text(), *BUILD_FLAGS, self.linker_flags, target()]
        parts += [f"{name}={value}" for name, value in sorted(BUILD_ENVIRONMENT.items())]
        parts += self.tags
        parts += [source.read_text() for source in sorted(self.folder.glob("*.go"))]
        for part in parts:
            digest.update(part.encode() + b"\0")
        return f"{self.name}-{self.version}-{digest.hexdigest()[:16]}"

    def _match(self, pattern: str) -> str:
        found = re.search(pattern, self.go_mod, re.MULTILINE)
        if not found:
            raise LabError(f"{self.folder / 'go.mod'} has no line like {pattern!r}")
        return found.group(1)


@dataclass(frozen=True)
class Tool:
    """One binary."""

    name: str
    module: Module
    package: str
    seconds: int  # to build it on two cores with nothing cached, after those above it
    in_archive: bool = False  # whether the official envtest archive has it
    by_name_alone: bool = False  # whether "all of them" leaves it out: few need it, and it takes minutes

    def cached(self) -> Path:
        return cache.folder() / "bin" / self.module.key / self.name


KUBERNETES = Module("kubernetes", "k8s.io/kubernetes", ("k8s.io/component-base/version",))
# The oldest Kubernetes that Mooring supports: its API server alone.
OLDEST = Module("kubernetes-oldest", "k8s.io/kubernetes", ("k8s.io/component-base/version",))
ETCD = Module("etcd", "go.etcd.io/etcd/server/v3")
KWOK = Module("kwok", "sigs.k8s.io/kwok")
HELM = Module("helm", "helm.sh/helm/v4")
CONTAINERD = Module("containerd", "github.com/containerd/containerd/v2", tags=("no_btrfs", "no_devmapper", "no_zfs"))
CNI = Module("cni", "github.com/containernetworking/plugins")
COREDNS = Module("coredns", "github.com/coredns/coredns")
PAUSE = Module("pause", "mooring.dev/lab/pause")

CONTAINERD_COMMANDS = "github.com/containerd/containerd/v2/cmd"
CNI_PLUGINS = "github.com/containernetworking/plugins/plugins"

TOOLS = {
    tool.name: tool
    for tool in (
        Tool("etcd", ETCD, "go.etcd.io/etcd/server/v3", 20, in_archive=True),
        Tool("kube-apiserver", KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 240, in_archive=True),
        Tool("kube-controller-manager", KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 60),
        Tool("kube-scheduler", KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler", 10),
        Tool("kubectl", KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", 25, in_archive=True),
        Tool("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", 60),
        Tool("kubelet", KUBERNETES, "k8s.io/kubernetes/cmd/kubelet", 20),
        Tool("kube-proxy", KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy", 10),
        Tool("containerd", CONTAINERD, f"{CONTAINERD_COMMANDS}/containerd", 100),
        Tool("containerd-shim-runc-v2", CONTAINERD, f"{CONTAINERD_COMMANDS}/containerd-shim-runc-v2", 10),
        Tool("ctr", CONTAINERD, f"{CONTAINERD_COMMANDS}/ctr", 10),
        Tool("bridge", CNI, f"{CNI_PLUGINS}/main/bridge", 6),
        Tool("host-local", CNI, f"{CNI_PLUGINS}/ipam/host-local", 2),
        Tool("loopback", CNI, f"{CNI_PLUGINS}/main/loopback", 2),
        Tool("portmap", CNI, f"{CNI_PLUGINS}/meta/portmap", 2),
        Tool("coredns", COREDNS, ".", 60),
        Tool("pause", PAUSE, ".", 2),
        Tool("helm", HELM, "helm.sh/helm/v4/cmd/helm", 190),
        Tool("kube-apiserver-1.33", OLDEST, "k8s.io/kubernetes/cmd/kube-apiserver", 220, by_name_alone=True),
    )
}
# The API server of each Kubernetes that a lab can be; the first is the one that it is unless told otherwise.
API_SERVERS = {"1.36": "kube-apiserver", "1.33": "kube-apiserver-1.33"}


def target() -> str:
    """This machine as Go and the archives call it, such as linux-amd64."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ARCHITECTURES.get(machine, machine)}"


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
