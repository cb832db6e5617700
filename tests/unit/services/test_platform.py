"""What every service shares: whom a checkout trusts, and where."""

from __future__ import annotations

import pytest

from tests.unit.services.platforms import platform

OWN = "https://ghes.example:8443/api/v3"


@pytest.mark.parametrize(
    ("url", "bundle", "found"),
    [
        ("https://ghes.example:8443/acme/shop.git", None, "mine\n"),
        ("https://ghes.example:8443/acme/shop.git", "theirs\n", "mine\ntheirs\n"),
        # Another port is another origin, and the operator's authorities speak for its own GitHub alone.
        ("https://ghes.example/acme/shop.git", None, None),
        ("https://github.com/acme/shop.git", None, None),
        ("https://github.com/acme/shop.git", "theirs\n", "theirs\n"),
        (None, None, None),
    ],
)
def test_the_operators_authorities_are_trusted_at_its_own_github(
    url: str | None, bundle: str | None, found: str | None
) -> None:
    it = platform(api_url=OWN, authorities="mine\n")
    assert it.authorities_at(url, bundle) == found
    assert "mine" not in repr(it)


def test_those_for_an_api_are_those_of_its_repositories() -> None:
    it = platform(api_url=OWN, authorities="mine\n")
    assert it.authorities_for(OWN) == "mine\n"
    assert it.authorities_for("https://api.github.com") is None
    assert it.authorities_for(None) is None
    assert platform(api_url=OWN).authorities_for(OWN) is None
