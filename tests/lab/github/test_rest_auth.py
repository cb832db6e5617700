"""Bad credentials of every kind: each gets GitHub's own status, words and shape."""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.lab.github.running import Cast, GitHub, Key

UNDECODABLE = "A JSON web token could not be decoded"
BAD_IAT = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
BAD_EXP = (
    "'Expiration time' claim ('exp') must be a numeric value representing the future time"
    " at which the assertion expires"
)
TOO_FAR = "'Expiration time' claim ('exp') is too far in the future"


def assert_error(answer: httpx.Response, status: int, message: str) -> None:
    """Check an error's status, words and shape."""
    body = answer.json()
    assert (answer.status_code, body["message"]) == (status, message)
    assert body["status"] == str(status)
    assert body["documentation_url"].startswith("https://docs.github.com/")
    assert answer.headers["X-GitHub-Request-Id"]


async def get_app(cast: Cast, token: str) -> httpx.Response:
    async with cast.github.client(token) as client:
        return await client.get("/app")


async def test_a_valid_jwt_is_taken_by_id_and_by_client_id(cast: Cast) -> None:
    for issuer in (cast.app.id, str(cast.app.id), cast.app.client_id):
        answer = await get_app(cast, cast.key.sign(issuer, iss=issuer))
        assert answer.status_code == 200
        assert answer.json()["slug"] == "mooring"


async def test_a_wrong_pem_is_refused(cast: Cast, other_key: Key) -> None:
    assert_error(await get_app(cast, other_key.sign(cast.app.id)), 401, UNDECODABLE)


async def test_every_registered_key_works(cast: Cast, other_key: Key) -> None:
    cast.app.public_keys.append(other_key.public)
    for key in (cast.key, other_key):
        assert (await get_app(cast, key.sign(cast.app.id))).status_code == 200
    cast.app.public_keys.remove(cast.key.public)
    assert_error(await get_app(cast, cast.jwt), 401, UNDECODABLE)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": -1}, BAD_EXP),
        ({"exp": None}, BAD_EXP),
        ({"exp": 605}, TOO_FAR),
        ({"exp": 700}, TOO_FAR),
        ({"iat": 5}, BAD_IAT),
        ({"iat": 120}, BAD_IAT),
        ({"iat": None}, BAD_IAT),
        ({"iss": None}, "'Issuer' claim ('iss') must be an Integer"),
    ],
    ids=[
        "stale",
        "no exp",
        "exp a little too far",
        "exp too far",
        "iat a little ahead",
        "iat ahead",
        "no iat",
        "no iss",
    ],
)
async def test_a_jwt_with_wrong_claims(cast: Cast, claims: dict[str, Any], message: str) -> None:
    now = int(time.time())
    moved: dict[str, Any] = {name: None if value is None else now + value for name, value in claims.items()}
    assert_error(await get_app(cast, cast.key.sign(cast.app.id, **moved)), 401, message)


async def test_a_jwt_may_live_for_ten_minutes_and_start_now(cast: Cast) -> None:
    now = int(time.time())
    assert (await get_app(cast, cast.key.sign(cast.app.id, iat=now, exp=now + 600))).status_code == 200


@pytest.mark.parametrize(("seconds", "message"), [(600, BAD_EXP), (-100, BAD_IAT), (-70, TOO_FAR)])
async def test_the_labs_clock_decides_about_a_jwt(cast: Cast, seconds: int, message: str) -> None:
    now = int(time.time())
    token = cast.key.sign(cast.app.id, iat=now - 90, exp=now + 540)
    await cast.github.control("POST", "/clock", {"advance": seconds})
    assert_error(await get_app(cast, token), 401, message)


async def test_a_jwt_comes_as_a_bearer_only(cast: Cast, github: GitHub) -> None:
    pair = base64.b64encode(f"x-access-token:{cast.jwt}".encode()).decode()
    for header in (f"token {cast.jwt}", f"Basic {pair}"):
        async with github.client(Authorization=header) as client:
            assert_error(await client.get("/app"), 401, UNDECODABLE)


async def test_a_jwt_of_nobody(cast: Cast) -> None:
    assert_error(await get_app(cast, cast.key.sign(999_999)), 404, "Integration not found")


@pytest.mark.parametrize("token", ["junk", "a.b.c", "ghp_" + "x" * 36])
async def test_what_is_no_jwt(cast: Cast, token: str) -> None:
    assert_error(await get_app(cast, token), 401, UNDECODABLE)


async def test_only_rs256(cast: Cast) -> None:
    assert_error(await get_app(cast, cast.key.sign(cast.app.id, algorithm="HS256")), 401, UNDECODABLE)


async def test_a_persons_token_is_no_jwt(cast: Cast) -> None:
    assert_error(await get_app(cast, cast.alice), 401, UNDECODABLE)
    async with cast.github.client(cast.alice) as client:
        assert_error(await client.get("/repos/acme/app/installation"), 401, UNDECODABLE)


async def test_a_jwt_is_no_person(cast: Cast) -> None:
    async with cast.as_app() as client:
        assert_error(await client.get("/user"), 403, "Resource not accessible by integration")
        assert_error(await client.get("/repos/acme/app"), 404, "Not Found")


async def test_unknown_expired_and_revoked_tokens(cast: Cast) -> None:
    now = cast.github.context.world.clock.now()
    expired = cast.personal("alice", kind="classic", scopes=["repo"], expires_at=now - timedelta(seconds=1))
    revoked = cast.personal("alice", kind="classic", scopes=["repo"], revoked_at=now)
    for token in ("ghp_" + "0" * 36, expired.value, revoked.value, "ghs_" + "0" * 36, "github_pat_x"):
        async with cast.github.client(token) as client:
            assert_error(await client.get("/repos/acme/app"), 401, "Bad credentials")
            # Also where nobody at all would be let in.
            assert_error(await client.get("/repos/acme/site"), 401, "Bad credentials")
            assert_error(await client.get("/no/such/route"), 401, "Bad credentials")


async def test_a_token_expires_by_the_labs_clock(cast: Cast) -> None:
    token = await cast.token()
    async with cast.github.client(token) as client:
        assert (await client.get("/repos/acme/app")).status_code == 200
        await cast.github.control("POST", "/clock", {"advance": 3601})
        assert_error(await client.get("/repos/acme/app"), 401, "Bad credentials")


async def test_a_revoked_installation_token(cast: Cast) -> None:
    async with cast.github.client(await cast.token()) as client:
        assert (await client.delete("/installation/token")).status_code == 204
        assert_error(await client.delete("/installation/token"), 401, "Bad credentials")


async def test_all_schemes_name_the_same_caller(cast: Cast, github: GitHub) -> None:
    pairs = (f"x-access-token:{cast.alice}", f"alice:{cast.alice}", f"{cast.alice}:x-oauth-basic", f"{cast.alice}:")
    basic = [f"Basic {base64.b64encode(pair.encode()).decode()}" for pair in pairs]
    for header in (f"Bearer {cast.alice}", f"token {cast.alice}", f"bearer {cast.alice}", *basic):
        async with github.client(Authorization=header) as client:
            assert (await client.get("/user")).json()["login"] == "alice"
    for header in ("Basic !!!", "Basic " + base64.b64encode(b"alice:wrong").decode(), "Digest x", "Bearer"):
        async with github.client(Authorization=header) as client:
            assert_error(await client.get("/user"), 401, "Bad credentials")


async def test_nobody_is_asked_to_sign_in(cast: Cast, github: GitHub) -> None:
    async with github.client() as client:
        assert_error(await client.get("/user"), 401, "Requires authentication")
        assert_error(await client.get("/installation/repositories"), 401, "Requires authentication")
        assert_error(await client.put("/repos/acme/site/contents/x", json={}), 401, "Requires authentication")


async def test_the_headers_of_a_classic_token(cast: Cast) -> None:
    until = cast.github.context.world.clock.now() + timedelta(days=3)
    token = cast.personal("alice", kind="classic", scopes=["repo", "read:org"], expires_at=until)
    async with cast.github.client(token.value) as client:
        headers = (await client.get("/repos/acme/app")).headers
    assert headers["X-OAuth-Scopes"] == "repo, read:org"
    assert headers["X-Accepted-OAuth-Scopes"] == "repo"
    assert headers["GitHub-Authentication-Token-Expiration"] == until.strftime("%Y-%m-%d %H:%M:%S UTC")


async def test_the_headers_of_a_fine_grained_token(cast: Cast) -> None:
    until = cast.github.context.world.clock.now() + timedelta(days=3)
    acme = cast.private.owner_id
    token = cast.personal("alice", owner_id=acme, permissions={"contents": "read"}, expires_at=until)
    async with cast.github.client(token.value) as client:
        headers = (await client.get("/repos/acme/app")).headers
    assert "X-OAuth-Scopes" not in headers
    assert headers["GitHub-Authentication-Token-Expiration"].endswith(" UTC")
