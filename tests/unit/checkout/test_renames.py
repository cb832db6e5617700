"""Where a redirect may lead: to another name of a repository at the very same origin."""

from __future__ import annotations

import pytest

from mooring.checkout.renames import moved_to

HOST = "https://git.example"
URL = f"{HOST}/acme/web.git"
REFS = "/info/refs?service=git-upload-pack"


@pytest.mark.parametrize(
    ("location", "found"),
    [
        (f"{HOST}/acme/shop.git{REFS}", f"{HOST}/acme/shop.git"),
        (f"{HOST}/new-owner/web{REFS}", f"{HOST}/new-owner/web"),
        (f"/acme/shop.git{REFS}", f"{HOST}/acme/shop.git"),
        (f"HTTPS://Git.Example:443/acme/shop.git{REFS}", f"{HOST}/acme/shop.git"),
    ],
)
def test_another_name_at_the_same_origin(location: str, found: str) -> None:
    assert moved_to(URL, location) == found


@pytest.mark.parametrize(
    "location",
    [
        "",
        f"{URL}{REFS}",
        # Other origins, and what some reader of URLs takes for one.
        f"https://evil.example/acme/web.git{REFS}",
        f"http://git.example/acme/shop.git{REFS}",
        f"https://git.example:8443/acme/shop.git{REFS}",
        f"https://git.example.evil/acme/shop.git{REFS}",
        f"https://git.example@evil.example/acme/shop.git{REFS}",
        f"https://user:secret@git.example/acme/shop.git{REFS}",
        f"//evil.example/acme/shop.git{REFS}",
        f"https:evil.example/acme/shop.git{REFS}",
        f"\\\\evil.example/acme/shop.git{REFS}",
        f"https://git.example\\@evil.example/acme/shop.git{REFS}",
        f"https://git\u3002example/acme/shop.git{REFS}",
        f"ssh://git.example/acme/shop.git{REFS}",
        f"file:///etc{REFS}",
        # The same origin, but no repository.
        f"{HOST}{REFS}",
        f"{HOST}/acme/shop.git",
        f"{HOST}/login?return_to=/acme/web.git{REFS}",
        f"{HOST}/acme/shop.git{REFS}#x",
        f"{HOST}/acme/%2e%2e/x.git{REFS}",
        f"{HOST}/acme/shop.git/info/refs?service=git-receive-pack",
        f"{HOST}/acme/shop.git{REFS}\r\nX: y",
        f"{HOST}/{'x' * 3000}.git{REFS}",
    ],
)
def test_nowhere_else(location: str) -> None:
    assert moved_to(URL, location) is None
