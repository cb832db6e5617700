"""What is swept together, what a token in a clone Secret is worth, and what told of a push."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mooring.domain import names
from mooring.domain.clones import ProjectOwner, clone_manifest
from mooring.domain.fingerprints import fingerprint
from mooring.domain.freshness import token_annotations
from mooring.domain.projects import SourceFacts
from mooring.domain.reasons import Reason
from mooring.domain.resources.project_status import RevisionStatus, Trigger
from mooring.domain.tokens import Resolution
from mooring.ports import MintedToken, Object, Origin
from mooring.services.clone_tokens import token_in
from mooring.services.heads import Look
from mooring.services.platform import Via
from mooring.services.seen import Seen, Told
from mooring.services.store import Key
from mooring.services.sweep_groups import By, Followed, Group, followed, mark_of
from tests.unit.objects import NOW, OTHER_PAT, PAT, raw_project
from tests.unit.services.followed import API, KEYS, A, B, World, parsed
from tests.unit.services.platforms import platform
from tests.unit.services.sweeping import LENT, ORIGIN, TEAM

KEY = Key("Project", TEAM, "shop")
FACTS = SourceFacts(
    "GitHub", "acme/shop", "https://github.com/acme/shop.git", "main", A, A, repository_id=7, private=True
)
UID = "01234567-89ab-cdef-0123-456789abcdef"
SECRET = names.clone_secret(UID, 0)


def seen(world: World, *, token: str | None = PAT, api: str = API, **changes: Any) -> Seen:
    """Return what a run gathered."""
    obj = world.project()
    resolution = Resolution("global", Reason.GLOBAL_TOKEN, "", token=token, api_url=api if token else None)
    found = Seen(obj, parsed(obj), resolution, source=FACTS)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def what(found: Seen, world: World) -> Followed:
    """Return what is followed."""
    it = followed(KEY, found, world.sources)
    assert it is not None
    return it


def test_who_lists_a_repository() -> None:
    world, mark = World(), mark_of(TEAM, PAT)
    it = what(seen(world), world)
    assert (it.group, it.mark) == (Group(TEAM, By.PERSON, mark, API), mark)
    assert what(seen(world, clone_secret=SECRET), world).group == Group(TEAM, By.INSTALLATION, SECRET)
    for found in (seen(world, token=None), seen(world, api="https://github.example.com/api/v3")):
        it = what(found, world)
        assert (it.group, it.mark) == (Group(TEAM, By.GIT, "shop"), None)
    assert PAT not in repr(what(seen(world), world))


def test_what_is_followed() -> None:
    world = World()
    it = what(seen(world, source=replace(FACTS, head_sha=B, read_at="2026-02-01T00:00:00Z")), world)
    assert (it.repository_id, it.branch, it.head, it.full_name, it.private) == (7, "main", B, "acme/shop", True)
    assert (it.read_at, it.pinned, it.hook) == (datetime.fromisoformat("2026-02-01T00:00:00Z"), False, None)
    found = seen(world, look=Look(FACTS, FACTS, None, read_at=NOW))
    found.obj["status"]["webhook"] = {"via": "Repository"}
    it = what(found, world)
    assert (it.read_at, it.hook) == (NOW, 0)


def test_a_plain_url_is_swept_alone_unless_it_is_pinned() -> None:
    world = World()
    plain = replace(FACTS, provider="Git", repository_id=None, url="https://git.example.com/shop.git")
    assert what(seen(world, token=None, source=plain), world).group == Group(TEAM, By.GIT, "shop")
    assert followed(KEY, seen(world, source=replace(plain, pin=A)), world.sources) is None
    assert what(seen(world, source=replace(FACTS, pin=A)), world).pinned
    assert followed(KEY, seen(world, source=None), world.sources) is None


# --- what told of a push ---


def test_what_told_of_a_push() -> None:
    world, began = World(), "2026-03-01T11:59:00Z"
    pushed = RevisionStatus(sha=B, trigger=Trigger.PUSH, delivery="d1")
    found = seen(world)
    assert found.told_of(pushed) is None
    found.obj["status"]["push"] = {"delivery": "d1", "receivedAt": began}
    assert found.told_of(pushed) == Told(NOW - timedelta(minutes=1), Via.HOOK)
    assert found.told_of(pushed.model_copy(update={"delivery": "d2"})) is None
    found.obj["spec"]["installationRef"] = {"name": "it"}
    found.project = parsed(found.obj)
    assert found.told_of(pushed) == Told(NOW - timedelta(minutes=1), Via.APP)
    swept = RevisionStatus(sha=B, trigger=Trigger.POLL)
    assert found.told_of(swept) is None
    found.look = Look(FACTS, FACTS, None, missed=True, pushed_at=NOW)
    assert found.told_of(swept) == Told(NOW, Via.SWEEP)
    assert found.told_of(RevisionStatus(sha=B, trigger=Trigger.SPEC)) is None


# --- clone Secrets ---


class Cluster:
    """A cluster with one Secret."""

    def __init__(self, secret: Object | None) -> None:
        self.secret = secret

    async def read(self, kind: str, namespace: str, name: str) -> Object | None:
        """Read it."""
        return self.secret if (kind, namespace, name) == ("Secret", TEAM, SECRET) else None


class Github:
    """A GitHub with a clock."""

    def time_at(self, origin: Origin) -> datetime:
        """Tell the time."""
        return NOW


def clone_secret(**changes: Any) -> Object:
    """Return a clone Secret as Mooring writes it."""
    given: dict[str, Any] = {"token": LENT, "expires": timedelta(minutes=30), "owner": "uid-shop", **changes}
    end = NOW + given["expires"]
    token = MintedToken(LENT, end - timedelta(hours=1), end, {}, frozenset({7}))
    return clone_manifest(
        namespace=TEAM,
        installation_name="it",
        installation_uid=UID,
        number=0,
        token=given["token"],
        origin="https://github.com",
        owners=[ProjectOwner("shop", given["owner"], NOW)],
        annotations=token_annotations(token, digest="0" * 16, fingerprint=fingerprint(UID, LENT)),
    )


async def read(secret: Object | None, *, uid: str = UID) -> str | None:
    """Return what is found in it."""
    found: dict[str, Any] = {"github": Github()}
    world = platform(webhook_keys=KEYS, **found)
    cluster: Any = Cluster(secret)
    world.secrets = type(world.secrets)(cluster)
    world.store.put(raw_project())
    return await token_in(world, uid, TEAM, SECRET, ORIGIN)


async def test_the_token_in_a_clone_secret_is_found() -> None:
    assert await read(clone_secret()) == LENT


@pytest.mark.parametrize(
    "secret",
    [
        None,
        clone_secret(token=OTHER_PAT),
        clone_secret(owner="uid-of-another"),
        clone_secret(expires=timedelta(0)),
        {**clone_secret(), "data": {"token": base64.b64encode(b"nonsense").decode()}},
        {**clone_secret(), "metadata": {**clone_secret()["metadata"], "annotations": {}}},
    ],
    ids=["none", "another-token", "foreign", "ended", "nonsense", "unmarked"],
)
async def test_what_is_no_token_of_ours_is_sent_nowhere(secret: Object | None) -> None:
    assert await read(secret) is None


async def test_a_secret_of_another_installation_is_not_read() -> None:
    assert await read(clone_secret(), uid=UID.replace("0", "f")) is None
