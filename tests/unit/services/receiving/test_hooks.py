"""The addresses: what signs at which, what it may speak of, and how another document is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mooring.domain.names import WEBHOOK_KEY
from mooring.domain.webhooks.keys import (
    AppHook,
    Keys,
    app_path_id,
    dump,
    hook_path_id,
    hook_secrets,
    via_hook,
    via_installation,
)
from mooring.services.receiving.places import Place
from tests.unit.services.receiving.world import (
    KEYS,
    ORIGIN,
    OTHER_KEYS,
    REPOSITORY_ID,
    Replica,
    Store,
    document,
    installation,
    project,
    write,
)

OPERATORS = AppHook(ORIGIN, ("operator-secret",))
TENANTS = AppHook(ORIGIN, ("new", "old"), "team-a", "key")
OWN = installation("own", app="key")
SECOND = installation("second", app="key")
LENT = installation("lent")
FOREIGN = installation("foreign", app="key", namespace="team-b")
HOOK = hook_path_id(KEYS, origin=ORIGIN, repository_id=REPOSITORY_ID, namespace="team-a")


def path_of(name: str, namespace: str = "team-a", keys: Keys = KEYS) -> str:
    return app_path_id(keys, origin=ORIGIN, installation_uid=f"uid-{namespace}-{name}", namespace=namespace)


def test_the_operators_app_speaks_of_what_has_no_app_of_its_own(folder: Path) -> None:
    write(folder, document(OPERATORS, TENANTS))
    hook = Replica(Store(OWN, LENT, FOREIGN), folder).hook()
    assert hook.secrets == (b"operator-secret",)
    assert hook.origin == ORIGIN
    assert hook.vias == {via_installation("uid-team-a-lent", "")}
    assert hook.owner == ""


def test_all_of_one_secret_share_secrets_and_scope(folder: Path) -> None:
    write(folder, document(OPERATORS, TENANTS))
    replica = Replica(Store(OWN, SECOND, LENT, FOREIGN), folder)
    hook = replica.hook(path_of("own"))
    assert hook == replica.hook(path_of("second"))
    assert hook.secrets == (b"new", b"old")
    assert hook.vias == {via_installation("uid-team-a-own", "key"), via_installation("uid-team-a-second", "key")}
    assert hook.owner == "team-a"


def test_the_scope_is_that_of_now(folder: Path) -> None:
    write(folder, document(OPERATORS, TENANTS))
    replica = Replica(Store(OWN, LENT), folder)
    assert replica.hook(path_of("own")).vias == {via_installation("uid-team-a-own", "key")}
    assert replica.hook().vias == {via_installation("uid-team-a-lent", "")}
    replica.followers.put_installation(SECOND)
    both = {via_installation("uid-team-a-own", "key"), via_installation("uid-team-a-second", "key")}
    assert replica.hook(path_of("own")).vias == both
    # It has another App by now: that of the operator.
    replica.followers.put_installation(installation("second", resourceVersion="11"))
    assert replica.hook(path_of("own")).vias == {via_installation("uid-team-a-own", "key")}
    assert replica.hook().vias == {via_installation("uid-team-a-lent", ""), via_installation("uid-team-a-second", "")}
    replica.followers.drop_installation(Place("team-a", "lent"), "uid-team-a-lent")
    assert replica.hook().vias == {via_installation("uid-team-a-second", "")}


def test_a_secret_of_the_same_name_elsewhere_is_another(folder: Path) -> None:
    write(folder, document(OPERATORS, TENANTS))
    replica = Replica(Store(OWN, FOREIGN), folder)
    assert replica.receiver.hook(path_of("foreign", "team-b")) is None
    write(folder, document(OPERATORS, TENANTS, AppHook(ORIGIN, ("b",), "team-b", "key")))
    replica.hooks.look()
    hook = replica.hook(path_of("foreign", "team-b"))
    assert hook.secrets == (b"b",)
    assert hook.vias == {via_installation("uid-team-b-foreign", "key")}


def test_an_app_at_another_api_is_another(folder: Path) -> None:
    elsewhere = "https://elsewhere.example.com/api/v3"
    moved = installation("own", app="key", spec={"apiUrl": elsewhere})
    write(folder, document(OPERATORS, TENANTS))
    replica = Replica(Store(moved), folder)
    path = app_path_id(KEYS, origin=elsewhere, installation_uid="uid-team-a-own", namespace="team-a")
    assert replica.receiver.hook(path) is None
    assert replica.receiver.hook(path_of("own")) is None
    write(folder, document(AppHook(elsewhere, ("there",), "team-a", "key")))
    replica.hooks.look()
    assert replica.hook(path).secrets == (b"there",)


def test_what_goes_has_no_address_any_more(folder: Path) -> None:
    write(folder, document(OPERATORS, TENANTS))
    replica = Replica(Store(OWN, SECOND, project()), folder)
    replica.followers.drop_installation(Place("team-a", "own"), "uid-team-a-own")
    assert replica.receiver.hook(path_of("own")) is None
    assert replica.hook(path_of("second")).vias == {via_installation("uid-team-a-second", "key")}
    assert replica.receiver.hook(HOOK) is not None
    replica.followers.drop(Place("team-a", "shop"), "uid-team-a-shop")
    assert replica.receiver.hook(HOOK) is None
    assert replica.receiver.hook("guess") is None


def test_a_repositorys_hook_has_secrets_that_are_derived(folder: Path) -> None:
    hook = Replica(Store(project(), project("second")), folder).hook(HOOK)
    derived = hook_secrets(KEYS, origin=ORIGIN, repository_id=REPOSITORY_ID, namespace="team-a")
    assert hook.secrets == tuple(secret.encode() for secret in derived)
    assert hook.vias == {via_hook(HOOK)}
    assert hook.owner == "team-a"


def test_no_secret_shows(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, document(OPERATORS, TENANTS))
    with caplog.at_level("DEBUG"):
        replica = Replica(Store(OWN, project()), folder)
        write(folder, dump(document(OPERATORS))[:-9])
        replica.hooks.look()
    shown = caplog.text + "".join(repr(replica.hook(path)) for path in (None, path_of("own"), HOOK))
    derived = hook_secrets(KEYS, origin=ORIGIN, repository_id=REPOSITORY_ID, namespace="team-a")
    assert not [secret for secret in ("operator-secret", "new'", "old'", *derived) if secret in shown]


def test_without_a_document_nothing_is_ready(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    replica = Replica(Store(OWN, LENT, project()), tmp_path)
    assert (replica.receiver.not_ready() or "").startswith("there are no keys in ")
    assert replica.receiver.hook(None) is None
    replica.hooks.look()
    assert len([line for line in caplog.messages if "cannot be read" in line]) == 1
    write(tmp_path, document())
    replica.hooks.look()
    assert replica.receiver.not_ready() is None
    assert replica.hook().vias == {via_installation("uid-team-a-lent", "")}
    assert replica.receiver.hook(HOOK) is not None
    replica.caches.filled = False
    assert replica.receiver.not_ready() == "the caches are being filled"


def test_another_document_is_taken_and_a_bad_one_is_not(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    replica = Replica(Store(LENT), folder)
    write(folder, document(AppHook(ORIGIN, ("next", "operator-secret"))))
    assert replica.hook().secrets == (b"operator-secret",)
    replica.hooks.look()
    assert replica.hook().secrets == (b"next", b"operator-secret")
    large = dump(document()) + " " * 3_000_000
    for bad in ("", "{}", "[" * 100_000, dump(document()).replace('"version":1', '"version":2'), large):
        write(folder, bad)
        replica.hooks.look()
        replica.hooks.look()
        assert replica.hook().secrets == (b"next", b"operator-secret")
    (folder / WEBHOOK_KEY).unlink()
    replica.hooks.look()
    replica.hooks.look()
    assert replica.hook().secrets == (b"next", b"operator-secret")
    complaints = [line for line in caplog.messages if "those from before stay" in line]
    # Some are bad in the same way, one after the other; that is told once.
    assert len(complaints) == 4
    write(folder, document())
    replica.hooks.look()
    assert replica.hook().secrets == (b"operator-secret",)


def test_the_folder_is_followed_as_kubelet_changes_it(tmp_path: Path) -> None:
    for name, secret in (("..1", "first"), ("..2", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / WEBHOOK_KEY).write_text(dump(document(AppHook(ORIGIN, (secret,)))))
        # What kubelet writes in one second is told apart all the same.
        os.utime(tmp_path / name / WEBHOOK_KEY, (1, 1))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / WEBHOOK_KEY).symlink_to(f"..data/{WEBHOOK_KEY}")
    replica = Replica(Store(LENT), tmp_path)
    assert replica.hook().secrets == (b"first",)
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").rename(tmp_path / "..data")
    replica.hooks.look()
    assert replica.hook().secrets == (b"second",)


def test_other_keys_prove_other_things(folder: Path) -> None:
    newer = project("newer", keys=OTHER_KEYS)
    replica = Replica(Store(project(), newer), folder)
    assert len(replica.followers) == 1
    both = Keys(KEYS.id_key, (*OTHER_KEYS.proof_keys, *KEYS.proof_keys), {1: KEYS.hook_keys[1], 2: b"n" * 32})
    write(folder, document(keys=both))
    replica.hooks.look()
    # Whose address has another key is none of ours: its proof is about another address.
    assert len(replica.followers) == 1
    assert len(replica.hook(HOOK).secrets) == 2
    write(folder, document(keys=OTHER_KEYS))
    replica.hooks.look()
    assert replica.receiver.hook(HOOK) is None
    path = hook_path_id(OTHER_KEYS, origin=ORIGIN, repository_id=REPOSITORY_ID, namespace="team-a")
    assert replica.receiver.hook(path) is not None
