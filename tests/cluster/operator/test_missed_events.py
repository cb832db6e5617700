"""What no watch tells of: an object that went while nobody looked must not be worked on for ever.

The status service works here under the operator's own Role, on the real API server, with a store that missed an event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from mooring.cluster.client import KubernetesCluster
from mooring.cluster.connection import Connection
from mooring.ports import Changed
from mooring.services import statuses
from mooring.services.platform import Platform
from mooring.services.store import Key
from tests.cluster.conftest import Kube
from tests.cluster.harness import People
from tests.cluster.process import SYSTEM, install_roles
from tests.unit.services.platforms import platform

SPEC = {"workload": {"image": "registry.example.com/app:1"}}


class RealClock:
    """The time as it is."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)


@pytest.fixture
async def operator(lab: Lab, kube: Kube, tmp_path: Path) -> AsyncIterator[Platform]:
    """Return a platform on the API server, as the operator."""
    install_roles(kube)
    path = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", tmp_path / "operator.kubeconfig")
    connection = await Connection.open({"KUBECONFIG": str(path)})
    yield platform(cluster=KubernetesCluster(connection, RealClock(), instance="test"))
    await connection.close()


async def write(operator: Platform, seen: dict[str, Any]) -> None:
    await statuses.write(operator, seen, {"observedGeneration": 1}, [])


async def test_what_went_or_changed_unseen_is_known_after_the_first_refused_write(
    operator: Platform, kube: Kube, namespace: str
) -> None:
    people, store = People(kube, namespace), operator.store
    for name in ("gone", "replaced", "changed"):
        seen = people.apply("Project", name, SPEC)
        store.put(seen)
    people.delete("Project", "gone")
    people.delete("Project", "replaced")
    people.apply("Project", "replaced", SPEC)
    people.apply("Project", "changed", {**SPEC, "suspend": True})
    for name in ("gone", "replaced", "changed"):
        known = store.get(Key("Project", namespace, name))
        assert known is not None
        with pytest.raises(Changed):
            await write(operator, known)
    assert store.get(Key("Project", namespace, "gone")) is None
    for name in ("replaced", "changed"):
        known = store.get(Key("Project", namespace, name))
        there = people.get("Project", name)
        assert known is not None
        assert there is not None
        assert known["metadata"]["uid"] == there["metadata"]["uid"]
        assert known["spec"] == there["spec"]
        await write(operator, known)
