"""The Secret between operator and gateway, for cluster tests: how to read it, and how people spoil it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import Lab
from mooring.domain.webhooks.keys import AppHook, BadDocument, Document, parse
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import make_app, put_app
from tests.cluster.process import SYSTEM, Mooring, running_operator

KIND = "GitHubInstallation"
NAME, KEY = "mooring-webhook", "webhooks.json"
OPERATORS_APP = "mooring-github-app"
OWN = "the-webhook-secret-of-the-operators-own-app"
BASE = "https://hooks.example.com"
MADE = "webhook.keys_made"


@contextmanager
def running_with_app(lab: Lab, kube: Kube, hub: Hub, folder: Path, system: People, **more: str) -> Iterator[Mooring]:
    """Run the operator from nothing, with an App of its own."""
    kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    system.delete("Secret", NAME)
    put_app(system, make_app(hub), OPERATORS_APP, webhookSecret=OWN)
    try:
        with running_operator(lab, kube, folder, MOORING_PUBLIC_BASE_URL=BASE, **more) as running:
            yield running
    finally:
        system.delete("Secret", OPERATORS_APP)
        system.delete("Secret", NAME)


def document(secret: Object | None) -> Document | None:
    """Return what the Secret tells; None where it tells nothing."""
    text = ((secret or {}).get("data") or {}).get(KEY)
    try:
        return parse(base64.b64decode(text)) if text else None
    except (BadDocument, ValueError):
        return None


def until_told(system: People, holds: Callable[[Document], bool], what: str) -> Document:
    """Wait until the gateway is told something."""

    def there(secret: Object | None) -> bool:
        found = document(secret)
        return found is not None and holds(found)

    found = document(system.until("Secret", NAME, there, what))
    assert found is not None
    return found


def app_of(found: Document, people: People, name: str = "app") -> AppHook | None:
    """Return what is told of an App of a namespace."""
    return next((app for app in found.apps if (app.namespace, app.secret) == (people.namespace, name)), None)


def version_of(system: People) -> str:
    """Return the version of the Secret."""
    secret = system.get("Secret", NAME)
    assert secret is not None
    return str(secret["metadata"]["resourceVersion"])


def made(mooring: Mooring) -> int:
    """Count how often keys were made."""
    return sum(line["action"] == MADE for line in mooring.audit)


def url_of(obj: Object | None) -> str | None:
    """Return what a GitHubInstallation says to enter at GitHub."""
    return (((obj or {}).get("status") or {}).get("webhook") or {}).get("url")


# --- what people may do to it ---


def drop(system: People) -> None:
    system.delete("Secret", NAME)


def empty(system: People) -> None:
    system.patch("Secret", NAME, {"data": {KEY: None}})


def forge(system: People) -> None:
    """Tell of another App, as somebody would who wants to sign for it."""
    content = json.loads(base64.b64decode((system.get("Secret", NAME) or {})["data"][KEY]))
    content["apps"].append({"origin": "https://x", "secrets": ["forged"], "namespace": "a", "secret": "b"})
    content["idKey"] = base64.b64encode(bytes(32)).decode()
    system.patch("Secret", NAME, {"data": {KEY: base64.b64encode(json.dumps(content).encode()).decode()}})


def add(system: People) -> None:
    system.patch("Secret", NAME, {"data": {"more": "YQ=="}})


def relabel(system: People) -> None:
    system.patch("Secret", NAME, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})


def freeze(system: People) -> None:
    system.patch("Secret", NAME, {"immutable": True, "data": {KEY: "YQ=="}})
