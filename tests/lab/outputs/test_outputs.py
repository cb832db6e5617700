"""What an output holds is taken by what it is made for: git, basic authentication, a registry's client."""

from __future__ import annotations

import netrc
from pathlib import Path

import docker.auth
import pytest

from mooring.domain import names
from tests.lab.outputs.held import REGISTRY, Desk

STORE = ("-c", "credential.helper=store")
# How git is told to look at each; a netrc is found by itself.
GIT = {"Netrc": (), "GitCredentials": STORE}


@pytest.mark.parametrize("form", GIT)
@pytest.mark.parametrize("name", ["short", "long"])
async def test_git_clones_a_private_repository(desk: Desk, tokens: dict[str, str], form: str, name: str) -> None:
    desk.mount(desk.secret(form, tokens[name]))
    code, said = await desk.git(*GIT[form], "clone", "-q", desk.remote, "clone")
    assert code == 0, said
    assert (desk.home / "clone" / "README.md").read_text() == "closed\n"


@pytest.mark.parametrize("form", GIT)
@pytest.mark.parametrize(("name", "seen"), [("wrong", "unknown"), ("dead", "dead")])
async def test_git_is_refused_with_a_token_that_is_not_good(
    desk: Desk, tokens: dict[str, str], form: str, name: str, seen: str
) -> None:
    desk.mount(desk.secret(form, tokens[name]))
    code, _ = await desk.git(*GIT[form], "ls-remote", desk.remote)
    assert code != 0
    # Refused by GitHub: git did send what stands in the file.
    assert await desk.last_request() == (seen, 401)


@pytest.mark.parametrize("form", GIT)
async def test_git_reaches_nothing_without_the_file(desk: Desk, tokens: dict[str, str], form: str) -> None:
    code, said = await desk.git(*GIT[form], "ls-remote", desk.remote)
    assert code != 0
    assert "could not read Username" in said
    assert await desk.last_request() == ("anonymous", 401)


@pytest.mark.parametrize(("name", "status"), [("short", 200), ("long", 200), ("wrong", 401), ("dead", 401)])
async def test_basic_authentication(desk: Desk, tokens: dict[str, str], name: str, status: int) -> None:
    held = desk.secret("BasicAuth", tokens[name])
    assert await desk.refs(held["username"], held["password"]) == status


@pytest.mark.parametrize(("name", "status"), [("short", 200), ("wrong", 401)])
async def test_a_bare_token(desk: Desk, tokens: dict[str, str], name: str, status: int) -> None:
    assert await desk.refs(names.TOKEN_USER, desk.secret("Token", tokens[name])["token"]) == status


@pytest.mark.parametrize("name", ["short", "wrong"])
async def test_a_template_for_git(desk: Desk, tokens: dict[str, str], name: str) -> None:
    template = '[url "https://$(username):$(token)@$(host)/"]\n\tinsteadOf = "https://$(host)/"\n'
    (desk.home / ".gitconfig").write_text(desk.secret("Template", tokens[name], template)["content"])
    code, said = await desk.git("ls-remote", desk.remote)
    assert (code == 0) == (name == "short"), said
    assert ("refs/heads/" if name == "short" else "Invalid username or token") in said


def test_a_netrc_is_read_by_others_than_git(desk: Desk, tokens: dict[str, str]) -> None:
    desk.mount(desk.secret("Netrc", tokens["long"]))
    assert netrc.netrc(desk.home / ".netrc").authenticators("127.0.0.1") == (names.TOKEN_USER, "", tokens["long"])


@pytest.mark.parametrize("asked", [REGISTRY, f"https://{REGISTRY}"])
def test_a_registrys_client_finds_its_credential(desk: Desk, tokens: dict[str, str], asked: str) -> None:
    path = pull_secret(desk, tokens["long"])
    found = docker.auth.load_config(str(path)).resolve_authconfig(asked)
    assert (found["username"], found["password"]) == (names.TOKEN_USER, tokens["long"])


def test_a_registrys_client_finds_nothing_for_another_registry(desk: Desk, tokens: dict[str, str]) -> None:
    path = pull_secret(desk, tokens["short"])
    assert docker.auth.load_config(str(path)).resolve_authconfig("ghcr.io") is None


def pull_secret(desk: Desk, token: str) -> Path:
    """Mount a pull secret where the kubelet's own readers look for it, and return the file."""
    desk.mount(desk.secret("DockerConfigJson", token))
    return desk.home / ".dockerconfigjson"
