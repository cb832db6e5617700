"""The same server, driven by a client that this project did not write, with its models made from GitHub's document."""

from __future__ import annotations

from typing import Any

import pytest
from githubkit import GitHub as Kit
from githubkit import TokenAuthStrategy
from githubkit.auth import AppAuthStrategy, AppInstallationAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException, PrimaryRateLimitExceeded, RequestFailed, SecondaryRateLimitExceeded

from tests.lab.github.running import Cast, GitHub, Key


def kit(github: GitHub, auth: Any) -> Kit[Any]:
    """Return a client with a cache of its own, bound to this server and nothing of the machine's environment."""
    return Kit(
        auth,
        base_url=f"{github.api_url}/",
        ssl_verify=github.trust,
        cache_strategy=MemCacheStrategy(),
        http_cache=False,
        follow_redirects=False,
        trust_env=False,
        auto_retry=False,
    )


async def test_as_an_app(cast: Cast, github: GitHub) -> None:
    async with kit(github, AppAuthStrategy(str(cast.app.id), cast.key.private)) as client:
        app = (await client.rest.apps.async_get_authenticated()).parsed_data
        assert app is not None
        assert app.slug == "mooring"
        installation = (await client.rest.apps.async_get_repo_installation("acme", "app")).parsed_data
        assert installation.id == cast.installation.id
        token = (
            await client.rest.apps.async_create_installation_access_token(
                installation.id, repository_ids=[cast.private.id], permissions={"contents": "read"}
            )
        ).parsed_data
        assert token.permissions is not None
        assert token.permissions.contents == "read"
        deliveries = (await client.rest.apps.async_list_webhook_deliveries(status="failure")).parsed_data
        assert deliveries == []


async def test_as_an_installation(cast: Cast, github: GitHub) -> None:
    auth = AppInstallationAuthStrategy(str(cast.app.id), cast.key.private, cast.installation.id)
    async with kit(github, auth) as client:
        listed = (await client.rest.apps.async_list_repos_accessible_to_installation(per_page=100)).parsed_data
        assert [repository.full_name for repository in listed.repositories] == ["acme/app"]
        branch = (await client.rest.repos.async_get_branch("acme", "app", "feature/x")).parsed_data
        compared = (await client.rest.repos.async_compare_commits("acme", "app", "main...feature/x")).parsed_data
        assert compared.commits[-1].sha == branch.commit.sha
        status = await client.rest.repos.async_create_commit_status(
            "acme", "app", branch.commit.sha, state="success", context="kit"
        )
        assert status.status_code == 201


async def test_as_a_person(cast: Cast, github: GitHub) -> None:
    async with kit(github, TokenAuthStrategy(cast.alice)) as client:
        assert (await client.rest.users.async_get_authenticated()).parsed_data.login == "alice"
        repository = (await client.rest.repos.async_get("acme", "app")).parsed_data
        assert repository.id == cast.private.id
        content = (await client.rest.repos.async_get_content("acme", "app", "README.md")).parsed_data
        assert not isinstance(content, list)
        hook = await client.rest.repos.async_create_webhook(
            "acme", "app", name="web", config={"url": "http://127.0.0.1:9/"}, events=["push"]
        )
        assert hook.parsed_data.config.url == "http://127.0.0.1:9/"
        pages = client.rest.paginate(client.rest.repos.async_list_commits, owner="acme", repo="app", per_page=1)
        assert [commit.sha async for commit in pages]


@pytest.fixture
def failures(cast: Cast, other_key: Key) -> list[tuple[Any, str, int]]:
    """Return credentials that must fail, what they ask for, and GitHub's status."""
    app_id, installation = str(cast.app.id), cast.installation.id
    return [
        (AppAuthStrategy(app_id, other_key.private), "/app", 401),
        (AppInstallationAuthStrategy(app_id, other_key.private, installation), "/repos/acme/app", 401),
        (AppInstallationAuthStrategy(app_id, cast.key.private, 999_999), "/repos/acme/app", 404),
        (AppInstallationAuthStrategy(app_id, cast.key.private, installation), "/repos/acme/other", 404),
        (TokenAuthStrategy(cast.carol), "/repos/acme/app", 404),
        (TokenAuthStrategy("ghp_" + "0" * 36), "/user", 401),
    ]


async def test_failures(github: GitHub, failures: list[tuple[Any, str, int]]) -> None:
    for auth, path, status in failures:
        async with kit(github, auth) as client:
            with pytest.raises(GitHubException) as caught:
                await client.arequest("GET", path)
        # What fails while a token is minted comes wrapped.
        failed = caught.value if isinstance(caught.value, RequestFailed) else caught.value.__cause__
        assert isinstance(failed, RequestFailed)
        assert failed.response.status_code == status


async def test_it_recognizes_both_rate_limits(cast: Cast, github: GitHub) -> None:
    async with kit(github, TokenAuthStrategy(cast.alice)) as client:
        github.context.quotas.limits.points_per_minute = 0
        with pytest.raises(SecondaryRateLimitExceeded):
            await client.rest.users.async_get_authenticated()
        github.context.quotas.limits.authenticated = 0
        github.context.quotas.forget_use()
        with pytest.raises(PrimaryRateLimitExceeded):
            await client.rest.users.async_get_authenticated()
