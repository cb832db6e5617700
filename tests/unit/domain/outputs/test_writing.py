"""The Secrets of outputs: each format's keys and type, whose they are, and what a template does and does not do."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain import names
from mooring.domain.errors import Stalled
from mooring.domain.outputs import check_output, needs_new_object, registry_of
from mooring.domain.ownership import is_owned
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import OutputFormat
from tests.unit.domain.outputs.made import HOST, REGISTRY, TOKEN, content, installation, output, written

# What the API server takes as a label's value, and as a key of a Secret.
LABEL_VALUE = re.compile("[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
DATA_KEY = re.compile("[-._a-zA-Z0-9]{1,253}")


@pytest.mark.parametrize(
    ("form", "kind", "data"),
    [
        ("Token", "Opaque", {"token": TOKEN}),
        ("BasicAuth", "kubernetes.io/basic-auth", {"username": "x-access-token", "password": TOKEN}),
        ("Netrc", "Opaque", {".netrc": f"machine github.example.com login x-access-token password {TOKEN}\n"}),
        ("GitCredentials", "Opaque", {".git-credentials": f"https://x-access-token:{TOKEN}@{HOST}\n"}),
    ],
)
def test_each_format_has_its_type_and_keys(form: str, kind: str, data: dict[str, str]) -> None:
    found = written(output(form))
    assert found["type"] == kind
    assert content(found) == data


def test_a_pull_secret_is_for_one_registry() -> None:
    found = written(output("DockerConfigJson"))
    assert found["type"] == "kubernetes.io/dockerconfigjson"
    (auths,) = json.loads(content(found)[".dockerconfigjson"]).values()
    assert list(auths) == [REGISTRY]
    assert base64.b64decode(auths[REGISTRY]["auth"]).decode() == f"x-access-token:{TOKEN}"
    assert (auths[REGISTRY]["username"], auths[REGISTRY]["password"]) == ("x-access-token", TOKEN)


def test_a_template_is_filled() -> None:
    template = "machine $(host) login $(username) password $(token) # until $(expiresAt), $(token)\n"
    found = written(output("Template", template))
    assert found["type"] == "Opaque"
    assert content(found) == {
        "content": f"machine {HOST} login x-access-token password {TOKEN} # until 2026-03-01T13:00:00Z, {TOKEN}\n"
    }


def test_a_time_is_told_in_utc_wherever_it_was_read() -> None:
    east = datetime(2026, 3, 1, 15, tzinfo=timezone(timedelta(hours=2)))
    assert content(written(output("Template", "$(expiresAt)"), expires_at=east)) == {"content": "2026-03-01T13:00:00Z"}


@pytest.mark.parametrize(
    "template",
    [
        "$(Token) $( token) $(token ) $token ${token} {token} {{token}} {{ token }} %(token)s $$ $() $(",
        "$(env.HOME) $(namespace) $(password) $(tokens)",
        r"\1 \g<0> \g<token> %s {0} {0.__class__} \n",
        "$(id) `id` <%= id %> #{id}",
        "größer 令牌 \u2028",
    ],
)
def test_nothing_else_in_a_template_means_anything(template: str) -> None:
    assert content(written(output("Template", template))) == {"content": template}


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    # No token and no host look like this; were they to, still nothing would be filled in twice.
    found = written(output("Template", "a $(token) b $(host)"), token=r"$(host)\g<0>", host="$(token)")
    assert content(found) == {"content": r"a $(host)\g<0> b $(token)"}


@given(st.lists(st.sampled_from(["$(token)", "$(host)", "$(", "token", ")", "$", "\\", "x", "{"]), max_size=30))
def test_a_template_is_its_text_with_values_in_place_of_placeholders(parts: list[str]) -> None:
    template = "".join(parts) or "x"
    expected = template.replace("$(token)", TOKEN).replace("$(host)", HOST)
    assert content(written(output("Template", template))) == {"content": expected}


def test_credentials_are_escaped_for_a_url() -> None:
    assert content(written(output("GitCredentials"), token="a@b:c/d%e")) == {
        ".git-credentials": f"https://x-access-token:a%40b%3Ac%2Fd%25e@{HOST}\n"
    }


@pytest.mark.parametrize("form", [form.value for form in OutputFormat])
def test_the_secret_belongs_to_the_installation_and_shows_nothing(form: str) -> None:
    owner = installation()
    notes = {names.EXPIRES_ANNOTATION: "2026-03-01T13:00:00Z"}
    found = written(output(form), owner=owner, annotations=notes)
    metadata = found["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("ci-token", "team-a")
    assert is_owned(found, "uid-acme")
    assert metadata["ownerReferences"][0]["kind"] == "GitHubInstallation"
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "mooring", "mooring.dev/installation": "acme"}
    assert metadata["annotations"] == notes
    assert metadata["annotations"] is not notes
    assert found["immutable"] is False
    shown = json.dumps({**found, "data": None})
    assert TOKEN not in shown
    assert base64.b64encode(TOKEN.encode()).decode()[:20] not in shown
    assert all(DATA_KEY.fullmatch(key) for key in found["data"])


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,120}[a-z0-9])?", fullmatch=True))
def test_a_label_takes_the_name_of_any_object(name: str) -> None:
    value = names.label_value(name)
    assert LABEL_VALUE.fullmatch(value)
    assert value == name or len(name) > 63
    assert names.label_value(name + "-x") != value


def test_the_labels_of_long_names_are_bounded() -> None:
    assert names.label_value("a" * 63) == "a" * 63
    owner = installation("a" * 253)
    assert len(written(output("Token"), owner=owner)["metadata"]["labels"][names.INSTALLATION_LABEL]) == 63


# --- bounds ---


@pytest.mark.parametrize("template", ["$(token)" * 2048, "$(token)" * 505 + "令" * 12344])
def test_a_template_that_no_secret_could_hold_is_told_before_a_token_is_made(template: str) -> None:
    greedy = output("Template", template)
    with pytest.raises(Stalled) as trouble:
        check_output(greedy)
    assert trouble.value.reason is Reason.INVALID_SPEC
    assert "ci-token" in trouble.value.message
    with pytest.raises(Stalled):
        written(greedy)


@pytest.mark.parametrize("template", ["$(token)" * 500, "x" * 16384, "令" * 16384])
def test_what_a_secret_can_hold_is_written(template: str) -> None:
    fits = output("Template", template)
    check_output(fits)
    assert sum(len(text.encode()) for text in content(written(fits)).values()) <= 1024 * 1024


# --- the registry ---


@pytest.mark.parametrize(
    ("web_url", "registry"),
    [
        ("https://github.com", "ghcr.io"),
        ("https://github.com/", "ghcr.io"),
        ("https://acme.ghe.com", "containers.acme.ghe.com"),
        ("https://github.example.com", "containers.github.example.com"),
        ("https://github.example.com:8443", "containers.github.example.com:8443"),
        ("https://notgithub.com", "containers.notgithub.com"),
    ],
)
def test_each_github_has_its_registry(web_url: str, registry: str) -> None:
    assert registry_of(web_url) == registry


# --- what the API server lets nobody change ---


@pytest.mark.parametrize(
    ("live", "wanted", "anew"),
    [
        ("Token", "Token", False),
        ("Token", "Netrc", False),
        ("Token", "BasicAuth", True),
        ("BasicAuth", "Token", True),
        ("BasicAuth", "DockerConfigJson", True),
    ],
)
def test_another_type_needs_a_new_object(live: str, wanted: str, anew: bool) -> None:
    assert needs_new_object(written(output(live)), written(output(wanted))) is anew


@pytest.mark.parametrize(("more", "anew"), [({"immutable": True}, True), ({"immutable": None}, False), ({}, False)])
def test_a_secret_that_cannot_be_changed_needs_a_new_object(more: dict[str, Any], anew: bool) -> None:
    wanted = written(output("Token"))
    live = {key: value for key, value in wanted.items() if key not in {"immutable", "type"}} | more
    assert needs_new_object(live, wanted) is anew
