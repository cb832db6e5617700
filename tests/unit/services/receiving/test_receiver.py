"""What senders are told, and what a signature covers."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.keys import AppHook, app_path_id, hook_path_id
from mooring.ports import Hook
from tests.unit.services.receiving.made_time import run
from tests.unit.services.receiving.world import (
    API,
    INSTALLATION_ID,
    KEYS,
    ORIGIN,
    REPOSITORY_ID,
    ZERO,
    Replica,
    Store,
    document,
    installation,
    project,
    push,
    write,
)

OPERATORS = AppHook(ORIGIN, ("operator-secret",))
LENT = installation("lent")
# Team A has an App and a hook of its own, and so has team B, whose objects say that they are about the same.
A = installation("acme", app="key")
B = installation("acme", app="key", namespace="team-b")
A_APP, B_APP = (AppHook(ORIGIN, (secret,), f"team-{secret}", "key") for secret in "ab")
BY_APP, BY_HOOK, BY_OPERATOR = project("by-app", by=A), project("by-hook"), project("by-operator", by=LENT)


def app_path(namespace: str) -> str:
    return app_path_id(KEYS, origin=ORIGIN, installation_uid=f"uid-{namespace}-acme", namespace=namespace)


def hook_path(namespace: str) -> str:
    return hook_path_id(KEYS, origin=ORIGIN, repository_id=REPOSITORY_ID, namespace=namespace)


def two_teams(*more: dict[str, Any]) -> Store:
    return Store(LENT, A, B, BY_APP, BY_HOOK, BY_OPERATOR, *more)


def replica_of(store: Store, folder: Path) -> Replica:
    write(folder, document(OPERATORS, A_APP, B_APP))
    return Replica(store, folder)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("push", push(ref="refs/heads/other")),
        ("push", push(ref="refs/tags/main")),
        ("push", push(ref="main")),
        ("push", push(after=ZERO)),
        ("push", push(repository_id=1)),
        ("installation", {"installation": {"id": 1}}),
        ("repository", {"repository": {"id": 1}}),
    ],
)
def test_what_leads_to_nothing(folder: Path, event: str, payload: dict[str, Any]) -> None:
    async def scene() -> None:
        store = two_teams()
        verdict = await replica_of(store, folder).take(event, payload)
        assert (verdict.status, verdict.outcome) == (200, "ignored")
        assert verdict.sentence.endswith(".")
        assert store.attempts == 0

    run(scene())


@pytest.mark.parametrize(
    ("path", "which"),
    [(None, "by-operator"), (app_path("team-a"), "by-app"), (hook_path("team-a"), "by-hook")],
)
def test_a_hook_speaks_of_what_came_by_it_alone(folder: Path, path: str | None, which: str) -> None:
    async def scene() -> None:
        store = two_teams()
        replica = replica_of(store, folder)
        verdict = await replica.push(2, hook=replica.hook(path))
        assert (verdict.status, verdict.sentence) == (202, "Recorded in 1 Project.")
        pushed = [name for _, _, name in store.objects if store_has_push(store, name)]
        assert pushed == [which]
        verdict = await replica.push(2, hook=replica.hook(path))
        assert (verdict.status, verdict.outcome) == (200, "duplicate")
        verdict = await replica.push(1, hook=replica.hook(path))
        assert (verdict.status, verdict.outcome) == (200, "superseded")
        await replica.close()

    run(scene())


def store_has_push(store: Store, name: str) -> bool:
    return any("push" in obj.get("status", {}) for (_, _, each), obj in store.objects.items() if each == name)


def test_the_secret_of_b_says_nothing_of_a(folder: Path) -> None:
    """Team B copies all that it can see, and forges the status of its own objects."""

    async def scene() -> None:
        impostor = copy.deepcopy(project("impostor", by=B, namespace="team-b"))
        impostor["status"] = copy.deepcopy(BY_APP["status"])
        b_hook = project("b-hook", namespace="team-b", repository_id=REPOSITORY_ID)
        # It names the installation of A, without A's word.
        borrower = project("borrower", by=B, namespace="team-b")
        borrower["spec"]["installationRef"] = {"name": "acme", "namespace": "team-a"}
        store = two_teams(impostor, b_hook, borrower)
        replica = replica_of(store, folder)
        before = {key: copy.deepcopy(obj) for key, obj in store.objects.items() if key[1] == "team-a"}
        for path in (app_path("team-b"), hook_path("team-b")):
            hook = replica.hook(path)
            await replica.push(hook=hook)
            for event in ("installation", "installation_repositories", "repository"):
                payload = {"installation": {"id": INSTALLATION_ID}, "repository": {"id": REPOSITORY_ID}}
                await replica.take(event, payload, hook=hook)
        assert {key: obj for key, obj in store.objects.items() if key[1] == "team-a"} == before
        assert not store_has_push(store, "impostor")
        assert not store_has_push(store, "borrower")
        # What B may speak of, B's own, is changed; so the above could have been.
        assert store_has_push(store, "b-hook")
        assert store.get("acme", kind="GitHubInstallation", namespace="team-b")["status"]["hint"]
        await replica.close()

    run(scene())


def test_an_event_of_an_installation_reaches_those_in_scope(folder: Path) -> None:
    async def scene() -> None:
        store = two_teams(installation("other", spec={"account": "x"}))
        replica = replica_of(store, folder)
        store.get("other", kind="GitHubInstallation")["status"]["installationId"] = 5
        replica.followers.put_installation(store.change(store.get("other", kind="GitHubInstallation")))
        for event in ("installation", "installation_repositories", "installation_target"):
            # Whatever else it names, it is about the installation.
            payload = {"installation": {"id": INSTALLATION_ID}, "repository": {"id": REPOSITORY_ID}}
            verdict = await replica.take(event, payload, delivery=event)
            assert (verdict.status, verdict.sentence) == (202, "Recorded in 1 GitHubInstallation.")
            assert store.get("lent", kind="GitHubInstallation")["status"]["hint"]["event"] == event
        hints = [name for (kind, _, name), obj in store.objects.items() if "hint" in obj.get("status", {})]
        assert hints == ["lent"]
        await replica.close()

    run(scene())


def test_an_event_of_a_repository_reaches_those_through_which_it_is_followed(folder: Path) -> None:
    async def scene() -> None:
        store = two_teams()
        replica = replica_of(store, folder)
        hook = replica.hook(app_path("team-a"))
        verdict = await replica.take("repository", RENAMED, hook=hook)
        assert (verdict.status, verdict.sentence) == (202, "Recorded in 1 Project and 1 GitHubInstallation.")
        assert [key for key, obj in store.objects.items() if "hint" in obj["status"]] == [
            ("GitHubInstallation", "team-a", "acme")
        ]
        assert reported(store) == ["by-app"]
        verdict = await replica.take("repository", RENAMED, hook=hook)
        assert (verdict.status, verdict.outcome) == (200, "duplicate")
        assert verdict.sentence == "This is recorded in 1 Project and 1 GitHubInstallation already."
        # A repository's hook has no installation behind it.
        hook = replica.hook(hook_path("team-a"))
        verdict = await replica.take("repository", RENAMED, hook=hook)
        assert (verdict.status, verdict.sentence) == (202, "Recorded in 1 Project.")
        assert reported(store) == ["by-app", "by-hook"]
        assert (
            await replica.take("repository", RENAMED, hook=hook)
        ).sentence == "This is recorded in 1 Project already."
        assert not any("push" in obj["status"] for obj in store.objects.values())
        (line,) = store.get("by-hook")["status"]["deliveries"]
        assert (line["event"], line["action"], line["delivery"], line["sender"]) == (
            *("repository", "renamed"),
            *("guid", "alice"),
        )
        await replica.close()

    run(scene())


RENAMED = {"action": "renamed", "repository": {"id": REPOSITORY_ID}, "sender": {"login": "alice"}}


def reported(store: Store) -> list[str]:
    """Return the Projects that were told of something else than a push."""
    return sorted(
        name
        for (kind, _, name), obj in store.objects.items()
        if kind == "Project" and any(line["event"] == "repository" for line in obj["status"].get("deliveries", ()))
    )


def test_a_repository_that_nobody_follows_by_this_way_concerns_nobody(folder: Path) -> None:
    """The proof is of another origin, another repository, another way, or none any more."""

    async def scene() -> None:
        store = two_teams()
        replica = replica_of(store, folder)
        hook = replica.hook(app_path("team-a"))
        for payload, by in (
            ({**RENAMED, "repository": {"id": 1}}, hook),
            (RENAMED, replace(hook, origin="https://api.github.com")),
            (RENAMED, replace(hook, vias=frozenset())),
        ):
            assert (await replica.take("repository", payload, hook=by)).outcome == "ignored"
        unproven = store.change(store.get("by-app"), source={"repositoryId": REPOSITORY_ID, "branch": "main"})
        replica.followers.put(unproven)
        assert (await replica.take("repository", RENAMED, hook=hook)).outcome == "ignored"
        assert store.attempts == 0
        replica.caches.current = False
        assert (await replica.take("repository", RENAMED, hook=hook)).status == 503
        await replica.close()

    run(scene())


def test_what_one_kind_alone_took_is_told_as_not_recorded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        store = two_teams()
        replica = replica_of(store, folder)
        hook, merge = replica.hook(app_path("team-a")), store.merge_recorded

        async def but_projects(kind: Any, *args: Any, **more: Any) -> Any:
            if kind == "Project":
                raise Stalled(Reason.INVALID_SPEC, "it is rejected")
            return await merge(kind, *args, **more)

        store.merge_recorded = but_projects  # type: ignore[method-assign]
        verdict = await replica.take("repository", RENAMED, hook=hook)
        assert verdict.status == 503
        assert "in 1 Project;" in verdict.sentence
        assert "1 of 2 objects, the first being Project team-a/by-app: it is rejected" in caplog.text
        # GitHub sends it again: what is missing is recorded then.
        store.merge_recorded = merge  # type: ignore[method-assign]
        verdict = await replica.take("repository", RENAMED, hook=hook)
        assert (verdict.status, verdict.sentence) == (202, "Recorded in 1 Project.")
        await replica.close()

    run(scene())


def test_nothing_is_ignored_while_news_do_not_arrive(folder: Path) -> None:
    async def scene() -> None:
        store = two_teams()
        replica = replica_of(store, folder)
        replica.caches.current = False
        for event, payload in (
            ("push", push(ref="refs/heads/other")),
            ("installation", {"installation": {"id": 1}}),
        ):
            verdict = await replica.take(event, payload)
            assert (verdict.status, verdict.outcome) == (503, "unavailable")
        # What is no branch concerns nobody, whatever there is; and what is known is recorded, if it can be.
        assert (await replica.take("push", push(ref="refs/tags/v1"))).status == 200
        assert (await replica.push()).status == 202
        await replica.close()

    run(scene())


def test_the_api_url_counts(folder: Path) -> None:
    async def scene() -> None:
        store = two_teams()
        replica = replica_of(store, folder)
        hook = replica.hook()
        elsewhere = Hook(hook.name, "https://api.github.com", hook.secrets, hook.vias, hook.owner)
        assert hook.origin == API
        assert (await replica.push(hook=elsewhere)).outcome == "ignored"
        assert (await replica.push()).outcome == "recorded"
        await replica.close()

    run(scene())


def test_a_sentence_names_nobody(folder: Path) -> None:
    async def scene() -> None:
        store = two_teams(project("second", by=LENT))
        replica = replica_of(store, folder)
        verdicts = [await replica.push(number, delivery=f"d{number}") for number in (2, 2, 1)]
        assert [verdict.sentence for verdict in verdicts] == [
            "Recorded in 2 Projects.",
            "This is recorded in 2 Projects already.",
            "A newer push is recorded in 2 Projects already.",
        ]
        await replica.close()

    run(scene())
