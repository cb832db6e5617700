"""From GitHub's documents about Apps, installations and their tokens to records. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mooring.domain import token_shape
from mooring.github.facts import Malformed, field, moment, number, page, text
from mooring.ports import AppFacts, InstallationFacts, MintedToken

_LEVELS = {"read": 1, "write": 2, "admin": 3}
# GitHub adds it to every token.
_ALWAYS = {"metadata": "read"}
_MOST_WORDS = 500


def app(document: Any) -> AppFacts:
    """Read an App."""
    return AppFacts(number(document, "id"), text(document, "slug"))


def installation(document: Any) -> InstallationFacts:
    """Read an installation."""
    account = field(document, "account", dict)
    # An enterprise has a slug in place of a login, and no type.
    login = account.get("login", account.get("slug"))
    kind = account.get("type", document.get("target_type"))
    if not isinstance(login, str) or not isinstance(kind, str):
        raise Malformed("account")
    avatar = account.get("avatar_url")
    return InstallationFacts(
        id=number(document, "id"),
        app_id=number(document, "app_id"),
        app_slug=text(document, "app_slug"),
        account_id=number(account, "id"),
        account_login=login,
        account_type=kind,
        avatar_url=avatar if isinstance(avatar, str) else "",
        selection=text(document, "repository_selection"),
        permissions=_permissions(document),
        events=tuple(word for word in field(document, "events", list)[:_MOST_WORDS] if isinstance(word, str)),
        suspended=document.get("suspended_at") is not None,
    )


def installations(document: Any, app_id: int, most: int) -> list[InstallationFacts]:
    """Read a page of an App's installations; those of accounts that are gone have none."""
    there = [each for each in page(document, most) if not (isinstance(each, dict) and each.get("account", 0) is None)]
    found = [installation(each) for each in there]
    if any(each.app_id != app_id for each in found):
        raise Malformed("app_id")
    return found


def token(document: Any) -> str:
    """Read a new token's value alone."""
    value = text(document, "token")
    if not token_shape.is_token(value) or token_shape.kind(value) != "installation":
        raise Malformed("token")
    return value


def minted(document: Any, issued_at: datetime, asked: frozenset[int] | None) -> MintedToken:
    """Read what GitHub says of a new token, its repositories where some were asked for."""
    expires_at = moment(document, "expires_at")
    if expires_at <= issued_at:
        raise Malformed("expires_at")
    repositories = None
    if asked is not None:
        repositories = frozenset(number(each, "id") for each in field(document, "repositories", list))
    return MintedToken(token(document), issued_at, expires_at, _permissions(document), repositories)


def is_as_asked(
    found: MintedToken, repository_ids: frozenset[int] | None, permissions: Mapping[str, str] | None
) -> bool:
    """Tell whether a token is for exactly the repositories that were asked for, and may do no more than that."""
    if found.repository_ids != repository_ids:
        return False
    if permissions is None:
        return True
    return all(_within(level, {**_ALWAYS, **permissions}.get(name)) for name, level in found.permissions.items())


def _within(level: str, asked: str | None) -> bool:
    """Tell whether a level is no more than another; a word that we do not know is more than any."""
    return _LEVELS.get(level, len(_LEVELS) + 1) <= _LEVELS.get(asked or "", 0)


def _permissions(document: Any) -> dict[str, str]:
    found = field(document, "permissions", dict)
    if len(found) > _MOST_WORDS or not all(isinstance(level, str) for level in found.values()):
        raise Malformed("permissions")
    return dict(found)
