"""Where a repository went that was renamed or transferred: another name at the same origin, and nowhere else.

Git itself follows nothing. When it is redirected, the server is asked where to, by one request of our own, and git is
started anew with the URL that came of it: so what it leads to is judged before anything is sent there.
"""

from __future__ import annotations

from mooring.checkout.failures import BadRequest, Failed
from mooring.checkout.request import repository_url
from mooring.checkout.web import Web, credential_header
from mooring.checkout.words import Teller, named
from mooring.domain import origins

MAX_MOVES = 2
"""GitHub leads from any former name to the present one; in between it may get another."""
_REFS = "/info/refs?service=git-upload-pack"
_MAX_LOCATION = 2048


class Renames:
    """The present URLs of repositories, as far as they are known to have moved."""

    def __init__(self, web: Web, teller: Teller) -> None:
        self._web = web
        self._teller = teller
        self._moved: dict[str, str] = {}

    def present(self, url: str) -> str:
        """Return where a repository is fetched from."""
        return self._moved.get(url, url)

    def follow(self, url: str, token: str | None) -> None:
        """Ask where a repository went from where it was last; raise Failed where that is no other name of it."""
        here = self.present(url)
        host, what = origins.host_of(here), f"the repository {named(url)}"
        target = f"{here.removeprefix(f'https://{host}')}{_REFS}"
        with self._web.answered(host, target, credential_header(token), what, redirects=True) as answer:
            location = answer.getheader("Location")
        found = moved_to(here, location or "")
        if found is None:
            raise Failed(
                f"{host} redirects {what} to what is no repository of the same origin, which is not followed."
                " Write the URL that it has now"
            )
        self._teller.say(f"{what} is at {named(found)} by now, and is fetched from there")
        self._moved[url] = found


def moved_to(url: str, location: str) -> str | None:
    """Return the repository that a redirect of `info/refs` leads to; None where that is not at the same origin."""
    if not location or len(location) > _MAX_LOCATION or not location.isascii() or not location.isprintable():
        return None
    is_path = location.startswith("/") and not location.startswith("//")
    target = f"https://{origins.host_of(url)}{location}" if is_path else location
    try:
        found = repository_url(target.removesuffix(_REFS), "it") if target.endswith(_REFS) else None
    except BadRequest:
        return None
    same = found is not None and origins.host_of(found) == origins.host_of(url)
    return found if same and found != url else None
