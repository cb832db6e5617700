"""Outputs: what a Secret costs before a token is made for it, and what happens where the name was taken after all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from mooring.domain.installations import AppFacts, InstallationFacts, MintedToken
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.domain.scopes import TokenKey
from mooring.ports import AlreadyExists, App, Origin
from mooring.services.apps import Lent
from mooring.services.lending import Found
from mooring.services.outputs import Outputs
from mooring.services.platform import Platform
from mooring.services.secrets import Secrets
from mooring.services.token_secrets import Tended
from tests.unit.objects import NOW, raw
from tests.unit.services.platforms import platform

ORIGIN = Origin("https://api.github.com", "https://github.com")
PLACE = ("team-a", "wanted")
TOKEN = "ghs_" + "a" * 36
FOREIGN = {"metadata": {"namespace": "team-a", "name": "wanted", "uid": "other", "resourceVersion": "3"}}


class OneSecret:
    """Has a Secret of somebody else's, or none, and writes down what is asked. It stands for no API server."""

    def __init__(self, there: Mapping[str, Any] | None) -> None:
        self.asked: list[str] = []
        self._there = there

    async def read(self, _kind: str, _namespace: str, _name: str) -> Mapping[str, Any] | None:
        self.asked.append("read")
        return self._there

    async def apply(self, manifest: Mapping[str, Any], *, uid: str) -> Mapping[str, Any]:
        self.asked.append("apply")
        assert self._there is not None
        assert uid == self._there["metadata"]["uid"]
        return {**manifest, "metadata": {**manifest["metadata"], "uid": uid, "resourceVersion": "6"}}

    async def create(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append("create")
        if self._there is not None:
            raise AlreadyExists("somebody was first")
        self._there = {**manifest, "metadata": {**manifest["metadata"], "uid": "new", "resourceVersion": "5"}}
        return self._there


class Mint:
    """Makes a token, and counts."""

    def __init__(self) -> None:
        self.made = 0

    async def get(self, _found: Found, _key: TokenKey, _purpose: str) -> MintedToken:
        self.made += 1
        return MintedToken(TOKEN, NOW, NOW + timedelta(hours=1), {"contents": "read"}, None)

    async def ids(self, _found: Found, _wanted: object) -> None:
        return None

    def record(self, *_: object, **__: object) -> None:
        return None


def found() -> Found:
    spec = {"installationId": 7, "outputs": [{"secretName": "wanted", "format": "Token"}]}
    installation = GitHubInstallation.model_validate(raw("GitHubInstallation", "acme", spec))
    facts = InstallationFacts(
        7, 1, "app", 2, "acme", "Organization", "", "all", {"contents": "read"}, (), suspended=False
    )
    lent = Lent(App(ORIGIN, 1, "key", "source", "team-a"), None)
    return Found(installation, lent, AppFacts(1, "app"), facts, None, NOW)


def world(there: Mapping[str, Any] | None = None) -> tuple[Outputs, Platform, OneSecret, Mint]:
    cluster: Any = OneSecret(there)
    mint: Any = Mint()
    around = platform(cluster=cluster, secrets=Secrets(cluster), audit=mint)
    return Outputs(around, mint, mint), around, cluster, mint


async def tend(outputs: Outputs) -> Tended:
    tended = Tended()
    await outputs.tend(found(), tended)
    return tended


async def test_where_watches_have_shown_no_secret_none_is_read() -> None:
    outputs, around, cluster, mint = world()
    assert (await tend(outputs)).good == 1
    assert (cluster.asked, mint.made) == (["create"], 1)
    assert around.secrets.is_taken(*PLACE), "its own Secret has to be read by the next run"


async def test_no_token_is_made_for_a_secret_of_somebody_elses() -> None:
    outputs, around, cluster, mint = world(FOREIGN)
    around.secrets.seen(*PLACE, is_there=True)
    assert [trouble.reason for trouble in (await tend(outputs)).troubles] == [Reason.CONFLICT]
    assert (cluster.asked, mint.made) == (["read"], 0)


async def test_one_of_somebody_elses_that_no_watch_has_told_of_is_found_by_the_first_write() -> None:
    outputs, _, cluster, mint = world(FOREIGN)
    tended = await tend(outputs)
    assert [trouble.reason for trouble in tended.troubles] == [Reason.CONFLICT]
    assert tended.dropped == {TOKEN}, "what was made for it is nobody's, and ends"
    assert cluster.asked == ["create", "read"]
    # From then on it is known.
    await tend(outputs)
    assert (cluster.asked[2:], mint.made) == (["read"], 1)


async def test_ones_own_that_no_watch_has_told_of_is_written() -> None:
    outputs, around, cluster, _ = world()
    await tend(outputs)
    around.secrets.seen(*PLACE, is_there=False)
    tended = await tend(Outputs(around, cast("Any", Mint()), cast("Any", Mint())))
    assert (tended.troubles, tended.good, tended.dropped) == ([], 1, set())
    assert cluster.asked == ["create", "create", "read", "apply"]
