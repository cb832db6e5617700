"""What proves who asks, and how it is sent."""

from __future__ import annotations

import base64
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import httpx
from githubkit import BaseAuthStrategy, GitHubCore, TokenAuthStrategy, UnauthAuthStrategy

_GIT_USER = "x-access-token"


class Scheme(Enum):
    """How a credential is sent."""

    TOKEN = auto()
    # The JWT of an App.
    BEARER = auto()
    # How git servers take a token: as the password of a user whose name does not matter.
    GIT = auto()


@dataclass(frozen=True, slots=True)
class Credential:
    """A token or a JWT."""

    value: str = field(repr=False)
    scheme: Scheme = Scheme.TOKEN

    def forms(self) -> tuple[str, ...]:
        """Return it as it may be sent: some servers repeat what they got."""
        return self.value, base64.b64encode(f"{_GIT_USER}:{self.value}".encode()).decode()


class _Bearer(httpx.Auth):
    def __init__(self, value: str) -> None:
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._value}"
        yield request


@dataclass
class _Strategy(BaseAuthStrategy):
    """githubkit's own strategy for Apps would look for a JWT in a cache that the whole process shares."""

    auth: httpx.Auth = field(repr=False)

    def get_auth_flow(self, github: GitHubCore[Any]) -> httpx.Auth:  # noqa: ARG002 - githubkit's own signature
        return self.auth


def strategy(credential: Credential | None) -> BaseAuthStrategy:
    """Return what githubkit puts into the request."""
    if credential is None:
        return UnauthAuthStrategy()
    if credential.scheme is Scheme.BEARER:
        return _Strategy(_Bearer(credential.value))
    if credential.scheme is Scheme.GIT:
        return _Strategy(httpx.BasicAuth(_GIT_USER, credential.value))
    return TokenAuthStrategy(credential.value)
