"""Where it is measured: a lab with audit on that runs no pods, and the product with the defaults of its chart."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.sink import sink
from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.harness import Hub, People
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    install_roles,
    operator_environment,
    start_operator,
    wait_ready,
)

OPERATOR = f"system:serviceaccount:{SYSTEM}:mooring-operator"
ADMIN = "lab:admin"
GATEWAY = f"system:serviceaccount:{SYSTEM}:mooring-gateway"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Far more than what is measured asks for: what is measured is the product, not GitHub's patience.
LIMITS = {"authenticated": 10_000_000, "points_per_minute": 10_000_000, "anonymous": 1_000_000}
BEGINS = "reconciling begins"
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the audit log of the API server has it."""

    verb: str
    resource: str
    subresource: str
    name: str
    namespace: str
    uri: str
    # When it came, and when it was answered.
    at: str
    ended: str

    @property
    def sort(self) -> tuple[str, str, str]:
        """Return what kind of request it is."""
        return self.verb, self.resource, self.subresource


@dataclass
class Site:
    """A lab, who works there, and its operator."""

    lab: Lab
    kube: Kube
    hub: Hub
    access: Access
    folder: Path
    # Where webhooks go.
    public_url: str
    # When the last operator was started, by the clock.
    started: float = 0.0
    _kubeconfigs: dict[str, Path] = field(default_factory=dict, repr=False)

    @property
    def github_authority(self) -> str:
        """Return the certificate of the authority of the lab's GitHub, PEM."""
        return Path(self.hub.ca_file).read_text()

    def people(self, namespace: str) -> People:
        """Make a namespace, and return who works in it."""
        status, body = self.kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        assert status in {201, 409}, body
        return People(self.kube, namespace)

    def kubeconfig(self, account: str) -> Path:
        """Return a kubeconfig with an account of the product."""
        if account not in self._kubeconfigs:
            path = self.folder / f"{account}.kubeconfig"
            self._kubeconfigs[account] = service_account_kubeconfig(self.lab.env, SYSTEM, account, path)
        return self._kubeconfigs[account]

    def authorization(self, account: str | None = None) -> dict[str, str]:
        """Return the header by which an account of the product is known, or the administrator."""
        token = self.access.token if account is None else Access.load(self.kubeconfig(account)).token
        return {"Authorization": f"Bearer {token}"}

    def start(self, **settings: str) -> Mooring:
        """Start an operator with the chart's defaults, as a process of its own with a folder of its own."""
        free_lease(self.kube)
        environment = operator_environment(
            self.lab,
            self.kubeconfig("mooring-operator"),
            MOORING_LOG_LEVEL="info",
            MOORING_DEVELOPMENT="true",  # the address of this machine has no certificate; it changes nothing else
            **{"MOORING_PUBLIC_BASE_URL": self.public_url, **settings},
        )
        folder = Path(tempfile.mkdtemp(prefix="operator-", dir=self.folder))
        self.started = time.time()
        return start_operator(environment, folder)

    @contextmanager
    def operator(self, **settings: str) -> Iterator[Mooring]:
        """Run an operator until the end of the block; it is ready when the block begins."""
        mooring = self.start(**settings)
        try:
            wait_ready(mooring, PATIENCE)
            yield mooring
        finally:
            stop(mooring)

    def asked(self, user: str, since: str = "") -> list[Asked]:
        """Return what somebody asked the API server since a time, the Lease apart. A long log is in several files."""
        found = []
        for file in sorted(self.lab.folder.path.glob("audit*.log")):
            with file.open() as lines:
                found += [_asked(entry) for line in lines if (entry := _entry(line, user, since))]
        return found

    def writes(self, user: str, since: str = "") -> list[Asked]:
        """Return what somebody wrote since a time, the Lease apart."""
        return [one for one in self.asked(user, since) if one.verb in WRITES]


def _entry(line: str, user: str, since: str) -> dict[str, Any] | None:
    # A line that is still being written has no end.
    if f'"username":"{user}"' not in line or not line.endswith("\n"):
        return None
    entry: dict[str, Any] = json.loads(line)
    of = entry.get("objectRef") or {}
    late = entry["stage"] == "ResponseComplete" and entry["requestReceivedTimestamp"] >= since
    return entry if late and of.get("resource") != "leases" else None


def _asked(entry: Mapping[str, Any]) -> Asked:
    of = entry.get("objectRef") or {}
    return Asked(
        entry["verb"],
        of.get("resource", ""),
        of.get("subresource", ""),
        of.get("name", ""),
        of.get("namespace", ""),
        entry["requestURI"],
        entry["requestReceivedTimestamp"],
        entry["stageTimestamp"],
    )


def counted(asked: list[Asked]) -> Counter[tuple[str, str, str]]:
    """Count requests by verb, resource and subresource."""
    return Counter(one.sort for one in asked)


@contextmanager
def site() -> Iterator[Site]:
    """Run a lab until the end of the block, with kinds and Roles installed; nothing of it stays."""
    folder = Path(tempfile.mkdtemp(prefix="mooring-bench-"))
    try:
        lab = Lab.up(folder / "lab", nodes="none", audit=True)
        try:
            access = Access.load(Path(lab.env["KUBECONFIG"]))
            kube = Kube(access, lab.env["KUBECONFIG"])
            hub = Hub(lab.env)
            try:
                install_kinds(kube)
                install_roles(kube)
                hub.control("POST", "/limits", LIMITS)
                with sink() as url:
                    yield Site(lab, kube, hub, access, folder, url)
            finally:
                hub.close()
                kube.close()
        finally:
            lab.down()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stop(mooring: Mooring) -> None:
    """End a process that still runs, as Kubernetes does."""
    if mooring.process.poll() is None:
        mooring.stop()


# --- what is read of a process ---


def memory(mooring: Mooring, what: str = "VmRSS") -> float:
    """Return the memory of a process in MiB; `VmHWM` for the most that it ever had."""
    status = Path(f"/proc/{mooring.process.pid}/status").read_text()
    (kibibytes,) = re.findall(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kibibytes) / 1024


def cpu(mooring: Mooring) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{mooring.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def metric(mooring: Mooring, name: str, labels: str = "") -> float:
    """Return the sum of a metric over its labels, or over those lines that have some; 0 where there is none yet."""
    text = mooring.ask("/metrics").text
    found = re.findall(rf"^{re.escape(name)}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for shown, value in found if labels in shown)


def logged_at(mooring: Mooring, text: str) -> float:
    """Return when the log first had a text, in seconds of the wall clock; it must be there."""
    line = next(line for line in mooring.log.splitlines() if text in line)
    return datetime.fromisoformat(json.loads(line)["ts"]).timestamp()


def now() -> str:
    """Return the time as the audit log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
