"""How outages are gone through: operators, each for some namespaces of its own, are begun, troubled and looked at."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.cluster import leaks
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.cutting import CuttingProxy
from tests.cluster.harness import Hub, People
from tests.cluster.outages import API_TROUBLES, GITHUB_TROUBLES, Life, github_trouble
from tests.cluster.process import Mooring, install_another, operator_environment, start_operator, wait_ready
from tests.cluster.token_life import lifetime

# Requests of one operator to the API server in the course of an outage, which is a minute. A dozen watches and half
# a dozen objects are tried again and again, each after some seconds.
MOST_ASKED = 1000
# What an operator says that could not renew its Lease, and one that finds no API server at its start.
LOST_ITS_LEASE, CANNOT_START = "mooring-operator is lost", "mooring: cannot start:"
BY_RIGHT = frozenset({"operator.kubeconfig"})


@dataclass
class Operated:
    """An operator of some namespaces, on its way to the API server by a proxy."""

    name: str
    folder: Path
    environment: dict[str, str]
    proxy: CuttingProxy
    mooring: Mooring
    lives: list[Life]
    # How it ended, each time: it is started again, as Kubernetes does.
    ends: list[int] = field(default_factory=list)
    # What it asked of the API server in the course of the outage.
    asked: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def running(cls, lab: Lab, kube: Kube, folder: Path, name: str, lives: list[Life]) -> Iterator[Operated]:
        """Run it until the end of the block, in a namespace of its own."""
        folder.mkdir()
        system = f"mooring-{name}"
        install_another(kube, system)
        kubeconfig = service_account_kubeconfig(lab.env, system, system, folder / "operator.kubeconfig")
        proxy = CuttingProxy(Access.load(kubeconfig))
        proxy.start()
        proxy.lead_here(kubeconfig)
        places = ",".join(life.people.namespace for life in lives)
        environment = operator_environment(lab, kubeconfig, MOORING_NAMESPACE=system, MOORING_WATCH_NAMESPACES=places)
        operated = cls(name, folder, environment, proxy, start_operator(environment, folder), lives)
        try:
            yield operated
        finally:
            if operated.mooring.process.poll() is None:
                operated.mooring.kill()
            proxy.stop()

    def keep_running(self) -> None:
        """Start it again where it ended."""
        code = self.mooring.process.poll()
        if code is not None:
            if not self._ended_as_it_has_to(code):
                self.ends.append(code)
            self.mooring = start_operator(self.environment, self.folder)

    def _ended_as_it_has_to(self, code: int) -> bool:
        """Tell whether it could not renew its Lease for so long, or could not begin: Kubernetes starts it again."""
        last = self.mooring.log.splitlines()[-5:]
        return code == 1 and any(words in line for line in last for words in (LOST_ITS_LEASE, CANNOT_START))

    def check(self) -> None:
        """See that it lived on, asked in no hurry, and that no secret is anywhere but where it belongs."""
        assert self.ends == [], self.mooring.log[-4000:]
        wait_ready(self.mooring, 2 * PATIENCE)
        assert len(self.asked) <= MOST_ASKED, Counter(self.asked).most_common(5)
        lines = [line for line in self.mooring.log.splitlines() if not line.startswith(CANNOT_START)]
        assert all(line.startswith("{") for line in lines), [line for line in lines if line[:1] != "{"][:5]
        assert [line["message"] for line in map(read, lines) if line.get("level") == "critical"] == []
        assert [line["message"] for line in map(read, lines) if line.get("message") == "reconcile failed"] == []
        secrets = {f"{life.name} {name}": secret for life in self.lives for name, secret in life.secrets().items()}
        everybody = [life.people for life in self.lives]
        outputs = leaks.Outputs(self.folder, BY_RIGHT, self.mooring.admin, self.mooring.process.pid, everybody)
        assert leaks.scan(outputs, secrets) == []


def read(line: str) -> dict[str, object]:
    """Read a line of the log."""
    found: dict[str, object] = json.loads(line) if line.startswith("{") else {}
    return found


@dataclass
class Outages:
    """Some outages, all at the same time."""

    lab: Lab
    kube: Kube
    hub: Hub
    folder: Path
    operated: list[Operated] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def lives(self) -> list[Life]:
        """Return all namespaces."""
        return [life for operated in self.operated for life in operated.lives]

    def begin(self, names: Sequence[str], seconds: int) -> None:
        """Have a namespace for each, with tokens of installations that live so long."""
        # Whether a token is live is asked more often than GitHub lets anybody ask with one that is not.
        self.hub.control("POST", "/limits", {"anonymous": 100_000})
        api = [[name] for name in names if name in API_TROUBLES]
        github = [name for name in names if name in GITHUB_TROUBLES]
        groups = [*api, *([github] if github else [])]
        lives = {name: Life.make(name, self._people(name), self.hub) for name in names}
        for group in groups:
            running = Operated.running(
                self.lab, self.kube, self.folder / group[0], group[0], [lives[name] for name in group]
            )
            self.operated.append(self._stack.enter_context(running))
        for operated in self.operated:
            wait_ready(operated.mooring, 2 * PATIENCE)
        lifetime(self.hub, seconds)
        everybody = list(lives.values())
        with ThreadPoolExecutor(len(everybody)) as pool:
            list(pool.map(Life.begin, everybody))
            list(pool.map(Life.until_begun, everybody))
        lifetime(self.hub)
        # Others may have taken their time to begin: by now the first tokens may have been replaced.
        for life in everybody:
            life.note()

    def strike(self, redirect: str = "") -> ExitStack:
        """Begin all outages and do everything; return what ends them."""
        troubles = ExitStack()
        for operated in self.operated:
            operated.proxy.asked.clear()
            for life in operated.lives:
                name = life.name.rpartition("-")[0]
                if name in API_TROUBLES:
                    API_TROUBLES[name].begin(operated.proxy)
                    troubles.callback(setattr, operated.proxy, "trouble", None)
                else:
                    trouble = GITHUB_TROUBLES[name]
                    more = {"location": redirect} if trouble["kind"] == "redirect" else {}
                    troubles.enter_context(github_trouble(self.hub, life, {**trouble, **more}))
                life.strike()
        return troubles

    def last(self) -> None:
        """Wait until all tokens have come to the time at which they are replaced."""
        until = time.monotonic() + max(life.refresh_times()[0] for life in self.lives) + 1
        while time.monotonic() < until:
            for operated in self.operated:
                operated.keep_running()
            time.sleep(0.2)
        for operated in self.operated:
            operated.asked = list(operated.proxy.asked)

    def recover(self, seconds: float) -> dict[str, float]:
        """Return how long each took until everything was as it must be; fail where something is not in time."""
        began = time.monotonic()
        took: dict[str, float] = {}
        left: dict[str, list[str]] = {}
        while len(took) < len(self.lives) and time.monotonic() < began + seconds:
            for operated in self.operated:
                operated.keep_running()
            for life in self.lives:
                if life.name not in took:
                    left[life.name] = life.left()
                    if not left[life.name]:
                        took[life.name] = time.monotonic() - began
            time.sleep(0.1)
        assert len(took) == len(self.lives), {name: what for name, what in left.items() if what}
        return {name.rpartition("-")[0]: seconds for name, seconds in took.items()}

    def close(self) -> None:
        """End everything."""
        lifetime(self.hub)
        self._stack.close()
        for life in self.lives:
            self.kube.request("DELETE", f"/api/v1/namespaces/{life.people.namespace}")

    def _people(self, name: str) -> People:
        place = f"outage-{name}"
        status, body = self.kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": place}})
        assert status == 201, body
        return People(self.kube, place)
