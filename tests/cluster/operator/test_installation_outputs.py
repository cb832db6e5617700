"""Output Secrets: each format as Kubernetes takes it, mended when damaged, ended when nobody asks for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mooring.domain.conditions import timestamp
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import (
    LabApp,
    clone_secret,
    data_of,
    end,
    hint,
    install,
    make_app,
    minted_by,
    output,
    put_app,
    put_secret,
    reaches,
    refer,
    slow_mints,
)
from tests.cluster.token_life import until

FORMATS = ("Token", "BasicAuth", "Netrc", "GitCredentials", "DockerConfigJson")
READ = {"contents": "read"}
KEYS = {"Token": "token", "BasicAuth": "password", "Template": "content"}
TEMPLATE = "https://$(username):$(token)@$(host) until $(expiresAt)\n"
# What a withdrawal may take.
SECONDS = 10.0


def apply(people: People, *outputs: dict[str, Any], **more: Any) -> None:
    """Apply the one GitHubInstallation of a namespace."""
    spec = {"account": "acme", "appSecretRef": {"name": "app"}, "outputs": list(outputs), **more}
    people.apply("GitHubInstallation", "it", spec)


def ready(people: People, name: str = "it") -> Object:
    """Wait until it is well."""
    return people.until_ready(name, kind="GitHubInstallation")


@pytest.fixture
def app(people: People, hub: Hub) -> LabApp:
    """Return an App on acme, in a Secret."""
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    return app


def test_every_format_is_taken_by_the_api_server_and_all_share_one_token(people: People, hub: Hub, app: LabApp) -> None:
    since = hub.mark()
    narrow: dict[str, Any] = {"permissions": READ, "repositories": ["acme/shop"]}
    outputs = [output(form.lower(), form, **narrow) for form in FORMATS]
    apply(people, *outputs, output("template", "Template", template=TEMPLATE, **narrow))
    ready(people)
    data = {name.lower(): data_of(people.get("Secret", name.lower())) for name in (*FORMATS, "Template")}
    token = data["token"]["token"]
    assert reaches(hub, token) == ["acme/shop"]
    assert data["basicauth"]["password"] == token
    assert f"password {token}\n" in data["netrc"][".netrc"]
    assert f":{token}@" in data["gitcredentials"][".git-credentials"]
    (registry,) = json.loads(data["dockerconfigjson"][".dockerconfigjson"])["auths"].values()
    assert registry["password"] == token
    assert data["template"]["content"].startswith(f"https://x-access-token:{token}@")
    types = {name: (people.get("Secret", name) or {}).get("type") for name in data}
    assert types["basicauth"] == "kubernetes.io/basic-auth"
    assert types["dockerconfigjson"] == "kubernetes.io/dockerconfigjson"
    # One of all that is covered, to find the id of the name; one for the six.
    assert minted_by(hub, since, app) == [201, 201]

    # As long as one of them is left, the token is alive.
    apply(people, output("token", **narrow))
    for name in data.keys() - {"token"}:
        people.until("Secret", name, lambda secret: secret is None, "its end", seconds=SECONDS)
    ready(people)
    assert reaches(hub, token) == ["acme/shop"]
    apply(people)
    people.until("Secret", "token", lambda secret: secret is None, "its end", seconds=SECONDS)
    ready(people)
    assert reaches(hub, token) == 401
    assert minted_by(hub, since, app) == [201, 201]


Damage = Callable[[People, str], Any]


def retyped(people: People, name: str) -> None:
    """Make another in its place, of another type, that passes for ours."""
    secret = people.get("Secret", name)
    assert secret is not None
    kept = {field: secret["metadata"][field] for field in ("name", "labels", "annotations", "ownerReferences")}
    body = {"metadata": kept, "type": "example.com/other", "data": secret["data"]}
    for _ in range(100):
        people.delete("Secret", name)
        status, answer = people.kube.request("POST", people.path("Secret"), body)
        if status != 409:  # the operator was not faster
            break
    assert status == 201, answer


def encoded(text: str) -> str:
    """Return a text as it stands in a Secret."""
    return base64.b64encode(text.encode()).decode()


def annotated(**annotations: str | None) -> Damage:
    """Return an edit of what a Secret says of the token in it."""
    edits = {f"mooring.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return lambda people, name: people.patch("Secret", name, {"metadata": {"annotations": edits}})


def edited(**fields: Any) -> Damage:
    """Return an edit of a Secret."""
    return lambda people, name: people.patch("Secret", name, fields)


DAMAGES: dict[str, Damage] = {
    "deleted": lambda people, name: people.delete("Secret", name),
    "replaced": edited(data={"token": encoded("ghs_" + "x" * 36)}),
    "emptied": edited(data=None),
    "added": edited(data={"more": encoded("mine")}),
    "unlabelled": edited(metadata={"labels": None}),
    "unannotated": edited(metadata={"annotations": None}),
    # Half a day more than GitHub gave it: whoever believed this would leave an ended token there.
    "prolonged": annotated(expires_at=timestamp(datetime.now(UTC) + timedelta(hours=12))),
    "ended": annotated(expires_at="2020-01-01T00:00:00Z"),
    "widened": annotated(repository_ids="1,2,3"),
    "misquoted": annotated(token_request="0123456789abcdef"),
    "mistaken": annotated(token_fingerprint="0123456789abcdef"),
    "frozen": edited(immutable=True),
    "retyped": retyped,
}


def good(before: Object) -> Callable[[Object | None], bool]:
    """Return what tells whether a Secret is as it was."""

    def same(secret: Object | None) -> bool:
        if secret is None or secret.get("immutable"):
            return False
        fields = ("labels", "annotations")
        return (
            all(secret["metadata"].get(field) == before["metadata"].get(field) for field in fields)
            and secret.get("type") == before.get("type")
            and secret.get("data") == before.get("data")
        )

    return same


def test_every_damage_is_mended_at_once_with_the_token_that_is_known(people: People, hub: Hub, app: LabApp) -> None:
    apply(people, *(output(name, permissions=READ, repositories=["acme/shop"]) for name in DAMAGES))
    ready(people)
    before = {name: people.get("Secret", name) for name in DAMAGES}
    since = hub.mark()
    for name, damage in DAMAGES.items():
        damage(people, name)
    for name, secret in before.items():
        assert secret is not None
        people.until("Secret", name, good(secret), f"its repair ({name})", seconds=5.0)
    assert minted_by(hub, since, app) == []


def test_what_is_narrowed_ends_at_once_whatever_else_changes(people: People, hub: Hub, app: LabApp) -> None:
    wide: dict[str, Any] = {
        "permissions": {"contents": "read", "issues": "write"},
        "repositories": ["acme/shop", "acme/open"],
    }
    # Before and after: also where nobody can tell any more from the Secret which token it was.
    forms = {"narrowed": ("Token", "Token"), "reformatted": ("BasicAuth", "Netrc"), "filled": ("Template", "Token")}
    template = {"Template": {"template": "$(token)"}}
    apply(people, *(output(name, form, **wide, **template.get(form, {})) for name, (form, _) in forms.items()))
    ready(people)
    # All of them share it: it ends with the last of them.
    token = data_of(people.get("Secret", "narrowed"))["token"]
    assert data_of(people.get("Secret", "filled"))["content"] == token
    assert reaches(hub, token) == ["acme/open", "acme/shop"]
    narrow: dict[str, Any] = {"permissions": READ, "repositories": ["acme/shop"]}
    for name in forms:
        after = {it: forms[it] for it in list(forms)[: list(forms).index(name) + 1]}
        apply(
            people,
            *(output(it, form, **narrow) for it, (_, form) in after.items()),
            *(output(it, form, **wide, **template.get(form, {})) for it, (form, _) in forms.items() if it not in after),
        )
        ready(people)
        assert reaches(hub, token) == (401 if len(after) == len(forms) else ["acme/open", "acme/shop"])
    assert data_of(people.get("Secret", "narrowed"))["token"] != token


def test_a_format_is_changed_with_the_token_that_is_there(people: People, hub: Hub, app: LabApp) -> None:
    narrow: dict[str, Any] = {"permissions": READ, "repositories": ["acme/shop"]}
    apply(people, output("ci", **narrow))
    ready(people)
    token = data_of(people.get("Secret", "ci"))["token"]
    since = hub.mark()
    # More often than somebody may undo what is written: it is their own wish.
    changes = [("BasicAuth", "password"), ("Template", "content"), ("Token", "token")] * 2
    for form, key in changes:
        template = {"template": "$(token)"} if form == "Template" else {}
        apply(people, output("ci", form, **narrow, **template))
        ready(people)
        secret = people.get("Secret", "ci")
        data = data_of(secret)
        assert data[key] == token, secret
    assert data == {"token": token}
    assert minted_by(hub, since, app) == []
    assert reaches(hub, token) == ["acme/shop"]


def test_a_spec_that_changes_while_a_token_is_made_is_not_told_to_be_done(
    people: People, hub: Hub, app: LabApp
) -> None:
    narrow: dict[str, Any] = {"permissions": READ, "repositories": ["acme/shop"]}
    apply(people)
    ready(people)
    since = hub.mark()
    with slow_mints(hub) as is_asked:
        apply(people, output("first", **narrow))
        # The first run waits for its token by now.
        until(is_asked, "a request for a token")
        apply(people, output("second", **narrow))
        ready(people)
    assert {secret["metadata"]["name"] for secret in people.list("Secret")} == {"app", "second"}
    assert minted_by(hub, since, app) == [201]


def test_a_rotated_key_is_used_at_once_and_forces_no_new_token(people: People, hub: Hub, app: LabApp) -> None:
    narrow: dict[str, Any] = {"permissions": READ, "repositories": ["acme/shop"]}
    apply(people, output("ci", **narrow))
    ready(people)
    before = people.get("Secret", "ci")
    since = hub.mark()
    # The former key is gone from GitHub: from here on only the new one is taken.
    made = hub.control("POST", f"/apps/{app.slug}/keys", {"replace": True})
    put_secret(people, "app", {**app.data(), "privateKey": made["private_key"]})
    apply(people, output("ci", **narrow), output("cd", permissions={"issues": "write"}, repositories=["acme/shop"]))
    people.until("Secret", "cd", lambda secret: secret is not None, "its token")
    ready(people)
    # A run that came before the new key may have shown the former one.
    assert [status for status in minted_by(hub, since, app) if status != 401] == [201]
    after = people.get("Secret", "ci")
    assert before is not None
    assert after is not None
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_secret_that_somebody_keeps_changing_is_left_for_a_while(people: People, app: LabApp) -> None:
    apply(people, output("ci", permissions=READ, repositories=["acme/shop"]))
    ready(people)
    before = people.get("Secret", "ci")
    assert before is not None
    for _ in range(3):
        people.patch("Secret", "ci", {"data": {"token": encoded("mine")}})
        people.until("Secret", "ci", good(before), "its repair", seconds=5.0)
    people.patch("Secret", "ci", {"data": {"token": encoded("mine")}})
    found = people.until_condition("it", "Ready", "False", "Contested", kind="GitHubInstallation")
    assert "Find the other writer" in condition(found, "Ready")["message"]
    assert condition(found, "Stalled")["status"] == "False"
    assert data_of(people.get("Secret", "ci")) == {"token": "mine"}


def holds_another(token: str) -> Callable[[Object | None], bool]:
    """Return what tells whether a Secret holds another token."""
    return lambda secret: secret is not None and data_of(secret).get("token") not in {None, token}


def test_a_token_that_its_holder_ended_is_replaced_at_the_next_look(people: People, hub: Hub, app: LabApp) -> None:
    narrow: dict[str, Any] = {"permissions": READ, "repositories": ["acme/shop"]}
    apply(people, output("ci", **narrow), output("cd", permissions={"issues": "write"}, repositories=["acme/shop"]))
    refer(people, "shop", "acme/shop")
    people.settled("shop")
    ready(people)
    held = {name: data_of(people.get("Secret", name))["token"] for name in ("ci", "cd")}
    held["clone"] = data_of(people.get("Secret", str(clone_secret(people, "shop"))))["token"]
    for token in set(held.values()):
        end(hub, token)
    since = hub.mark()
    hint(people, "it")
    for what, name in {"ci": "ci", "cd": "cd", "clone": str(clone_secret(people, "shop"))}.items():
        people.until("Secret", name, holds_another(held[what]), f"another token ({what})")
    ready(people)
    assert len(minted_by(hub, since, app)) <= 3
