"""The contract check catches what it is for: wrong bodies, unknown properties and statuses, broken handlers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from lab.github import contract, shapes
from lab.github.rest import routes
from tests.lab.github.running import Cast

Plant = Callable[[Any], Any]


def lacking(shape: Any) -> Any:
    return {name: value for name, value in shape.items() if name != "clone_url"}


def mistyped(shape: Any) -> Any:
    return {**shape, "id": "7"}


def unknown(shape: Any) -> Any:
    return {**shape, "surprise": 1}


def unknown_inside(shape: Any) -> Any:
    return {**shape, "owner": {**shape["owner"], "surprise": 1}}


def no_time(shape: Any) -> Any:
    return {**shape, "created_at": "yesterday"}


def no_address(shape: Any) -> Any:
    return {**shape, "html_url": "not an address"}


def broken(shape: Any) -> Any:
    raise KeyError("broken")


@pytest.mark.parametrize("plant", [lacking, mistyped, unknown, unknown_inside, no_time, no_address, broken])
async def test_a_planted_wrong_body_fails(cast: Cast, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    right = shapes.full_repository
    monkeypatch.setattr(shapes, "full_repository", lambda *args: plant(right(*args)))
    async with cast.github.client(cast.alice) as alice:
        answer = await alice.get("/repos/acme/app")
    assert (answer.status_code, answer.headers["X-Lab-Contract"]) == (500, "violated")
    found = cast.github.take_violations()
    assert len(found) == 1
    assert found[0].startswith("GET /api/v3/repos/acme/app: ")


async def test_an_unknown_query_parameter_fails(cast: Cast) -> None:
    async with cast.github.client(cast.alice) as alice:
        assert (await alice.get("/repos/acme/app/branches?perpage=3")).status_code == 500
    assert "perpage" in cast.github.take_violations()[0]


async def test_a_list_is_checked_item_by_item(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    right = shapes.repository
    monkeypatch.setattr(shapes, "repository", lambda *args: unknown(right(*args)))
    async with cast.github.client(cast.alice) as alice:
        assert (await alice.get("/user/repos")).status_code == 500
    assert "0: " in cast.github.take_violations()[0]


async def test_a_violation_tells_no_secret(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    right = shapes.installation_token
    monkeypatch.setattr(shapes, "installation_token", lambda *args: {**right(*args), "permissions": [right(*args)]})
    async with cast.as_app() as app:
        answer = await app.post(f"/app/installations/{cast.installation.id}/access_tokens")
    assert answer.status_code == 500
    assert "ghs_" not in "".join(cast.github.take_violations()) + answer.text


def problems(method: str, path: str, status: int, body: Any, media_type: str = "application/json") -> list[str]:
    operation = contract.contract().operation(method, path)
    assert operation is not None
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(contract.contract().problems(operation, status, media_type, raw))


ERROR = {"message": "m", "documentation_url": "https://x", "status": "403"}


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "fits"),
    [
        ("GET", "/repos/a/b", 418, ERROR, False),
        ("GET", "/repos/a/b", 500, ERROR, False),
        ("GET", "/repos/a/b", 204, b"", False),
        ("GET", "/repos/a/b", 200, b"", False),
        ("GET", "/repos/a/b", 200, b"{", False),
        ("GET", "/repos/a/b", 304, b"", True),
        ("GET", "/repos/a/b", 304, ERROR, False),
        ("GET", "/repos/a/b", 403, ERROR, True),
        ("GET", "/repos/a/b", 403, {**ERROR, "hint": "x"}, False),
        ("GET", "/repos/a/b", 403, {**ERROR, "message": 1}, False),
        ("POST", "/user/repos", 422, {**ERROR, "errors": [{"code": "custom"}]}, True),
        ("POST", "/user/repos", 422, {**ERROR, "errors": [{"field": "name"}]}, False),
        ("DELETE", "/repos/a/b", 204, b"", True),
        ("DELETE", "/repos/a/b", 204, {}, False),
        ("DELETE", "/repos/a/b", 200, {}, False),
        ("GET", "/repositories/7/branches", 200, [], True),
        ("GET", "/repositories/7/branches", 200, {}, False),
        ("GET", "/meta", 200, {"verifiable_password_authentication": True, "surprise": 1}, False),
    ],
)
def test_statuses_and_bodies(method: str, path: str, status: int, body: Any, *, fits: bool) -> None:
    assert (problems(method, path, status, body) == []) is fits


def test_raw_bytes_are_no_json() -> None:
    assert problems("GET", "/repos/a/b/contents/x", 200, b"{", "application/vnd.github.raw+json") == []
    assert problems("GET", "/repos/a/b/contents/x", 404, b"no", "text/html") != []


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/repos/a/b/commits/x/y/status", "/repos/{owner}/{repo}/commits/{ref}/status"),
        ("/repos/a/b/branches/x%2Fy", "/repos/{owner}/{repo}/branches/{branch}"),
        ("/repositories/1/compare/a...b", "/repos/{owner}/{repo}/compare/{basehead}"),
        ("/repos/a/b/contents", "/repos/{owner}/{repo}/contents/{path}"),
        ("/organizations/1/repos", "/orgs/{org}/repos"),
        ("/user/1/repos", "/users/{username}/repos"),
        ("/user/1", "/user/{account_id}"),
        ("/user/repos", "/user/repos"),
    ],
)
def test_operations_are_found_by_their_paths(path: str, template: str) -> None:
    operation = contract.contract().operation("GET", path)
    assert operation is not None
    assert operation.name == f"GET {template}"


def test_every_route_is_documented() -> None:
    """What the lab offers below the API is what GitHub offers: there is no route of our own."""
    app = web.Application()
    routes.add_to(app, "/api/v3")
    strange = []
    for resource in app.router.resources():
        path = re.sub(r"\{(account_id|repository_id)\}", "7", resource.canonical).removeprefix("/api/v3") or "/"
        plain = re.sub("[{}]", "", path)
        strange += [f"{r.method} {path}" for r in resource if contract.contract().operation(r.method, plain) is None]
    assert strange == []
