"""Where large files may come from: a stranger's commit, and the server that answers for it, do not decide alone."""

from __future__ import annotations

import pytest

from mooring.domain.origins import DEFAULT_API_URL, large_file_hosts

CLOUD = ("github-cloud.githubusercontent.com", "github-cloud.s3.amazonaws.com")
GHES = "https://ghes.example:8443/api/v3"


@pytest.mark.parametrize(
    ("url", "api", "listed", "found"),
    [
        ("https://github.com/acme/shop.git", DEFAULT_API_URL, (), CLOUD),
        ("https://github.com/acme/shop.git", DEFAULT_API_URL, (CLOUD[1], "s3.example"), (*CLOUD, "s3.example")),
        # The operator's own GitHub is another one: its hosts are nobody else's.
        ("https://github.com/acme/shop.git", GHES, ("s3.example",), CLOUD),
        ("https://ghes.example:8443/acme/shop.git", GHES, ("s3.example",), ("s3.example",)),
        ("https://ghes.example:8443/acme/shop.git", GHES, (), ()),
        ("https://ghes.example/acme/shop.git", GHES, ("s3.example",), ()),
        ("https://github.com:8443/acme/shop.git", DEFAULT_API_URL, ("s3.example",), ()),
        ("https://github.com.evil/acme/shop.git", DEFAULT_API_URL, ("s3.example",), ()),
    ],
)
def test_each_github_has_hosts_of_its_own(url: str, api: str, listed: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert large_file_hosts(url, api, listed) == found
