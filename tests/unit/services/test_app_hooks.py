"""Which look at a GitHubInstallation tells the gateway of its App (T6), and which address is shown for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mooring.domain.app_secrets import app_source
from mooring.domain.errors import Stalled, Transient, Trouble
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.domain.webhooks.keys import AppHook, app_path_id, from_chance
from mooring.services.app_hooks import AppHooks
from mooring.services.store import Key
from mooring.services.webhook_secret import WebhookSecret
from tests.unit.domain.test_app_secrets import app
from tests.unit.objects import raw
from tests.unit.services.platforms import platform

API, BASE = "https://api.github.com", "https://mooring.example.com"
IT = Key("GitHubInstallation", "team-a", "it")
KEYS = from_chance(bytes)
REFUSED = Stalled(Reason.APP_REFUSED, "GitHub refuses it.")
AWAY = Transient(Reason.GITHUB_UNAVAILABLE, "GitHub is away.")


def installation(**spec: Any) -> GitHubInstallation:
    own = {"appSecretRef": {"name": "app"}}
    return GitHubInstallation.model_validate(raw("GitHubInstallation", "it", {"account": "acme", **own, **spec}))


class Shared(WebhookSecret):
    """Remembers what it was told last."""

    told: AppHook | None = None

    def tell(self, key: Key, app: AppHook | None) -> None:
        assert key == IT
        super().tell(key, app)
        self.told = app


class Case:
    """An App's Secret as it is now."""

    def __init__(self, secret: Any) -> None:
        self.secret = secret

        async def get(namespace: str, name: str) -> Any:
            assert (namespace, name) == ("team-a", "app")
            if isinstance(self.secret, Trouble):
                raise self.secret
            return self.secret

        secrets: Any = SimpleNamespace(get=get)
        self.platform = platform(secrets=secrets, public_base_url=BASE, webhook_keys=KEYS)
        self.shared = Shared(self.platform, lambda: None)
        self.hooks = AppHooks(self.platform, self.shared)

    def found(self, source: str | None = None) -> Any:
        """Return what GitHub said of the App with the key that the Secret has now, or of another one."""
        told = SimpleNamespace(source=source or app_source(self.secret), origin=SimpleNamespace(api_url=API))
        return SimpleNamespace(app=told)

    def told(self) -> AppHook | None:
        """Return what the gateway was told last."""
        return self.shared.told


async def test_an_app_whose_key_was_accepted_is_told_of() -> None:
    case = Case(app(webhookSecret="hush", webhookSecretNext="next"))
    await case.hooks.learn(installation(), case.found(), None)
    assert case.told() == AppHook(API, ("next", "hush"), "team-a", "app")
    path = app_path_id(KEYS, origin=API, installation_uid="uid-it", namespace="team-a")
    assert case.hooks.url(installation()) == f"{BASE}/webhooks/github/{path}"


@pytest.mark.parametrize("trouble", [REFUSED, Stalled(Reason.INSTALLATION_NOT_FOUND, "None.")])
async def test_one_that_was_refused_is_told_of_no_more(trouble: Trouble) -> None:
    case = Case(app(webhookSecret="hush"))
    await case.hooks.learn(installation(), None, trouble)
    assert case.told() is None
    await case.hooks.learn(installation(), case.found(), None)
    await case.hooks.learn(installation(), None, trouble)
    assert case.told() is None
    assert case.hooks.url(installation()) is None


async def test_while_there_is_no_answer_all_stays_as_it_was() -> None:
    case = Case(app(webhookSecret="hush"))
    await case.hooks.learn(installation(), None, AWAY)
    assert case.told() is None
    await case.hooks.learn(installation(), case.found(), None)
    before = case.told()
    assert before is not None
    found = case.found()
    await case.hooks.learn(installation(), None, AWAY)
    case.secret = AWAY
    await case.hooks.learn(installation(), found, None)
    assert case.told() == before
    assert case.hooks.url(installation()) is not None


async def test_a_key_that_was_changed_since_proves_nothing() -> None:
    case = Case(app(webhookSecret="hush"))
    await case.hooks.learn(installation(), case.found(app_source(app(appId="7"))), None)
    assert case.told() is None


@pytest.mark.parametrize("secret", [None, app(), app(webhookSecret="x" * 2000)])
async def test_what_holds_no_webhook_secret_ends_it(secret: Any) -> None:
    case = Case(app(webhookSecret="hush"))
    found = case.found()
    await case.hooks.learn(installation(), found, None)
    case.secret = secret
    await case.hooks.learn(installation(), found, None)
    assert case.told() is None
    assert case.hooks.url(installation()) is None


async def test_the_operators_app_has_one_address() -> None:
    case = Case(app(webhookSecret="hush"))
    theirs = installation(appSecretRef=None)
    await case.hooks.learn(theirs, case.found(), None)
    assert case.told() is None
    assert case.hooks.url(theirs) == f"{BASE}/webhooks/github"
    case.platform.public_base_url = None
    assert case.hooks.url(theirs) is None


async def test_without_keys_there_is_no_address() -> None:
    case = Case(app(webhookSecret="hush"))
    await case.hooks.learn(installation(), case.found(), None)
    case.platform.webhook_keys = None
    assert case.hooks.url(installation()) is None
