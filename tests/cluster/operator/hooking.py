"""Repositories' hooks for cluster tests: an operator that makes them, a gateway behind them, and people's edits."""

from __future__ import annotations

import base64
import re
import secrets
import signal
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.ports import Ports
from mooring.domain.names import WEBHOOK_KEY, WEBHOOK_SECRET
from tests.cluster.conftest import PATIENCE, ROOT, Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.pushes import Shop
from tests.cluster.process import (
    SYSTEM,
    Gateway,
    Mooring,
    free_lease,
    gateway_kubeconfig,
    install_roles,
    operator_environment,
    start_gateway,
    start_operator,
    wait_ready,
    wait_serving,
)

_HOOKS = re.compile(r"/repositories/(\d+)/(hooks)(?:/(\d+)(/deliveries)?(?:/\d+/attempts)?)?(?:\?.*)?")


@dataclass
class Site:
    """The operator, and where its gateways are reached."""

    lab: Lab
    kube: Kube
    hub: Hub
    folder: Path
    environment: dict[str, str]
    port: int
    # What people at GitHub do is done with this token; its requests are not the operator's.
    admin: str = field(repr=False)
    operator: Mooring | None = None

    @property
    def mooring(self) -> Mooring:
        """Return the operator that runs."""
        assert self.operator is not None
        return self.operator

    def start(self) -> None:
        """Start the operator, and wait until it leads."""
        free_lease(self.kube)
        self.operator = start_operator(self.environment, self.folder, "tests.cluster.looking")
        wait_ready(self.operator)

    def restart(self) -> None:
        """End the operator and start the next one; come back when it has nothing to do any more."""
        self.mooring.stop()
        self.start()
        self.until_idle()

    def until_idle(self) -> None:
        """Wait until every Project was looked at, and none is left to look at."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = self.mooring.ask("/metrics").text
            objects, runs = (
                _metric(text, 'mooring_objects{kind="Project"}'),
                _sum(text, "mooring_reconcile_results_total", "Project"),
            )
            if runs >= objects and _metric(text, "mooring_queue_depth") == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"the operator did not come to rest: {self.mooring.ask('/metrics').text}")

    def masters(self, *versions: int) -> None:
        """Mount these versions of the master key, and no others."""
        place = Path(self.environment["MOORING_MASTER_KEY_DIR"])
        for version in versions:
            (place / str(version)).write_text(f"the master key of version {version}, for tests")
        for path in place.iterdir():
            if int(path.name) not in versions:
                path.unlink()

    def look(self) -> None:
        """Have every hook looked at."""
        self.mooring.process.send_signal(signal.SIGUSR1)

    @contextmanager
    def gateway(self) -> Iterator[Gateway]:
        """Run a gateway where GitHub sends to, with what the operator wrote for it."""
        mounted = self.folder / "mounted"
        mounted.mkdir(exist_ok=True)
        secret = People(self.kube, SYSTEM).get("Secret", WEBHOOK_SECRET)
        assert secret is not None
        (mounted / WEBHOOK_KEY).write_bytes(base64.b64decode(secret["data"][WEBHOOK_KEY]))
        kubeconfig, listen = gateway_kubeconfig(self.lab, self.folder), f"127.0.0.1:{self.port}"
        name = random_name("gateway")
        gateway = start_gateway(self.lab, kubeconfig, mounted, self.folder, name, MOORING_GATEWAY_LISTEN=listen)
        try:
            wait_serving(gateway)
            yield gateway
        finally:
            gateway.kill()


def _metric(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).rpartition(" ")[2])


def _sum(text: str, name: str, kind: str) -> float:
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{") and f'kind="{kind}"' in line]
    assert lines, text
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@contextmanager
def running(lab: Lab, kube: Kube, hub: Hub, folder: Path, admin: str) -> Iterator[Site]:
    """Run the operator with an address for GitHub, and with one version of a master key."""
    install_roles(kube)
    People(kube, SYSTEM).delete("Secret", WEBHOOK_SECRET)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    ports = Ports()
    port = ports.free()
    (folder / "masters").mkdir()
    environment = operator_environment(
        lab,
        kubeconfig,
        MOORING_PUBLIC_BASE_URL=f"http://127.0.0.1:{port}",
        MOORING_DEVELOPMENT="true",
        # A sweep that finds a push before its delivery comes has the hook looked at, too.
        MOORING_SWEEP_INTERVAL="24h",
        MOORING_MASTER_KEY_DIR=str(folder / "masters"),
    )
    environment["PYTHONPATH"] = f"{ROOT / 'operator'}:{ROOT}"
    site = Site(lab, kube, hub, folder, environment, port, admin)
    site.masters(1)
    try:
        site.start()
        yield site
    finally:
        if site.operator is not None and site.operator.process.poll() is None:
            site.operator.stop()
        ports.close()
        People(kube, SYSTEM).delete("Secret", WEBHOOK_SECRET)


@dataclass
class Repository:
    """A repository at GitHub: its hooks as its administrator sees them, and what the operator asked about them."""

    site: Site
    id: int
    mark: int = 0

    def __post_init__(self) -> None:
        self.mark = self.site.hub.mark()

    @classmethod
    def of(cls, site: Site, shop: Shop, mark: int = 0) -> Repository:
        """Return that of a Project."""
        found = cls(site, shop.repository_id)
        found.mark = mark
        return found

    def call(self, method: str, path: str = "", body: Any = None) -> Any:
        """Ask GitHub, or change something there."""
        trust = ssl.create_default_context(cafile=self.site.hub.ca_file)
        url = f"{self.site.hub.api_url}/repositories/{self.id}/hooks{path}"
        headers = {"Authorization": f"Bearer {self.site.admin}", "User-Agent": "people"}
        with httpx.Client(verify=trust, headers=headers, timeout=PATIENCE, trust_env=False) as client:
            answer = client.request(method, url, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    @property
    def hooks(self) -> list[dict[str, Any]]:
        """Return the hooks that there are."""
        return list(self.call("GET"))

    def entries(self) -> list[Mapping[str, Any]]:
        """Return what others than people asked about the hooks since the last look."""
        found = self.site.hub.journal(self.mark)
        return [
            it
            for it in found
            if (told := _HOOKS.fullmatch(_path(it))) and int(told[1]) == self.id and it["user_agent"] != "people"
        ]

    def asked(self) -> list[str]:
        """Return the same in two words each."""
        return [f"{it['method']} {_word(_path(it))}" for it in self.entries()]

    def was_asked(self, *expected: str) -> None:
        """Wait until GitHub was asked just that, and begin anew."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.asked()) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.02)
        # What would come too much comes at once.
        self.site.until_idle()
        found = self.asked()
        assert found == list(expected)
        self.mark = self.site.hub.mark()


def _path(entry: Mapping[str, Any]) -> str:
    return str(entry["path"]).removeprefix("/api/v3")


def _word(path: str) -> str:
    told = _HOOKS.fullmatch(path)
    assert told is not None
    if told[4]:
        return "attempt" if "/attempts" in path else "deliveries"
    return "hook" if told[3] else "hooks"


def webhook(people: People, name: str) -> dict[str, Any]:
    """Return a Project's status.webhook."""
    return dict(((people.get("Project", name) or {}).get("status") or {}).get("webhook") or {})


def until_hooked(
    people: People, name: str = "shop", also: Callable[[Mapping[str, Any]], bool] = bool
) -> dict[str, Any]:
    """Wait until a hook brings a Project's pushes; return status.webhook."""

    def there(obj: Object | None) -> bool:
        told = ((obj or {}).get("status") or {}).get("webhook") or {}
        reason = condition(obj or {}, "WebhookReady").get("reason")
        return reason == "HookDelivers" and told.get("state") == "Active" and also(told)

    found = people.until("Project", name, there, "a hook")
    assert found is not None
    return dict(found["status"]["webhook"])


def until_gone(people: People, name: str) -> None:
    """Delete a Project, and wait until it is gone."""
    people.delete("Project", name)
    people.until("Project", name, lambda obj: obj is None, "its end")


def random_name(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{secrets.token_hex(4)}"
