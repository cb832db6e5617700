"""Taking a token back out of an output: the very token or nothing, whatever stands there."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.outputs import token_in_output
from mooring.domain.resources.github_installation import OutputFormat
from mooring.domain.token_shape import is_token
from tests.unit.domain.outputs.made import HOST, TOKEN, output, written

FORMS = [form.value for form in OutputFormat]
KEYS = {
    "Token": "token",
    "BasicAuth": "password",
    "Netrc": ".netrc",
    "GitCredentials": ".git-credentials",
    "DockerConfigJson": ".dockerconfigjson",
    "Template": "content",
}
# A token as long as they may be, one without anything but letters, one with all that they may have.
TOKENS = ["ghs_" + "a" * 2044, "ghs_" + "B" * 36, TOKEN]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_comes_back_out_of_what_was_written(form: str, token: str) -> None:
    wanted = output(form)
    assert token_in_output(wanted, written(wanted, token=token)) == token


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "value",
    [b"", b"hunter2", b"\xff\xfe", b"[]", b"{}", b'{"auths": {"a": []}}', b"[" * 100_000, TOKEN.encode() + b" "],
)
def test_what_has_not_the_shape_gives_nothing(form: str, value: bytes) -> None:
    wanted = output(form)
    found = written(wanted)
    found["data"] = {KEYS[form]: base64.b64encode(value).decode()}
    assert token_in_output(wanted, found) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", [None, {}, {"other": "eA=="}, dict.fromkeys(KEYS.values(), "not base64!")])
def test_a_secret_without_it_gives_nothing(form: str, data: dict[str, str] | None) -> None:
    wanted = output(form)
    assert token_in_output(wanted, {**written(wanted), "data": data}) is None


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_base64_gives_nothing(form: str) -> None:
    wanted = output(form)
    found = written(wanted)
    found["data"] = {key: f"!{value}" for key, value in found["data"].items()}
    assert token_in_output(wanted, found) is None


@pytest.mark.parametrize("form", FORMS)
def test_a_token_of_another_kind_of_secret_is_not_taken(form: str) -> None:
    wanted = output(form)
    assert token_in_output(wanted, {**written(wanted), "type": "example.com/other"}) is None


@pytest.mark.parametrize(
    "config",
    [
        {"auths": {"a": {"password": TOKEN}, "b": {"password": TOKEN}}},
        {"auths": {"a": {"password": 1}}},
        {"auths": {"a": {}}},
        {"auths": [TOKEN]},
    ],
)
def test_a_pull_secret_that_is_not_ours_gives_nothing(config: Any) -> None:
    wanted = output("DockerConfigJson")
    found = written(wanted)
    found["data"] = {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}
    assert token_in_output(wanted, found) is None


@pytest.mark.parametrize(
    "template",
    [
        "machine $(host) login $(username) password $(token)\n",
        "https://$(username):$(token)@$(host)/acme/api",
        '{"token": "$(token)", "until": "$(expiresAt)", "again": "$(token)", "on": "$(host)", "or": "$(host)"}',
        "$(expiresAt)$(token)",
        ".*$(token)+?",
        "$(other)$(token) \\1 (?P<token>)",
    ],
)
def test_a_token_comes_back_out_of_a_template(template: str) -> None:
    wanted = output("Template", template)
    assert token_in_output(wanted, written(wanted)) == TOKEN


@pytest.mark.parametrize(
    "template",
    [
        "no token",
        "$(token).",
        "$(token)-x",
        "$(token)$(host)",
        "$(host)$(token)",
        "$(token)$(token)",
        "$(token)$(expiresAt)",
    ],
)
def test_where_a_token_ends_nowhere_that_can_be_told_nothing_comes_out(template: str) -> None:
    wanted = output("Template", template)
    assert token_in_output(wanted, written(wanted)) is None


def test_what_was_written_by_another_template_gives_nothing() -> None:
    assert token_in_output(output("Template", "now: $(token)"), written(output("Template", "old: $(token)"))) is None
    both = written(output("Template", "$(token) $(host)"))
    assert token_in_output(output("Template", "$(token) $(token)"), both) is None


@given(
    st.lists(
        st.sampled_from(
            ["$(token)", "$(host)", "$(username)", "$(expiresAt)", "gh", "s_", ".", ":", "-", " ", "a", "1", "("]
        ),
        min_size=1,
        max_size=12,
    ),
    st.text("abZ0_.-", min_size=36, max_size=80),
    st.sampled_from([HOST, "github.com", "ghe.com:443", "a"]),
)
def test_never_another_token_than_was_written(parts: list[str], rest: str, host: str) -> None:
    token = "ghs_" + rest
    wanted = output("Template", "".join(parts))
    assert is_token(token)
    assert token_in_output(wanted, written(wanted, token=token, host=host)) in {token, None}


def test_a_template_of_nothing_but_placeholders_is_read_at_once() -> None:
    wanted = output("Template", "$(host)$(token)" * 400)
    assert token_in_output(wanted, written(wanted)) is None
    wanted = output("Template", "$(token) " * 500)
    assert token_in_output(wanted, written(wanted)) == TOKEN
