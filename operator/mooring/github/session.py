"""One request to GitHub: githubkit makes it, `network` sends it, `answers` reads it.

Every request has a client of its own, so that neither a credential nor a cached answer can pass from one to another;
connections are shared by origin. githubkit's generated models are left alone (their memory), and so are its retries and
its reading of rate limits (a date in Retry-After breaks it).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from githubkit import BaseAuthStrategy, GitHubCore, TokenAuthStrategy, UnauthAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException

from mooring.domain import origins, token_shape
from mooring.github import answers, network, refs
from mooring.github.answers import Answer, Failed
from mooring.github.limits import Limits
from mooring.ports import Clock

logger = logging.getLogger("mooring.github")

_HEADERS = {"X-GitHub-Api-Version": "2022-11-28", "Accept-Encoding": "identity"}
_GIT_USER = "x-access-token"
# They write whole requests and headers at their debug level, and httpx each URL at info.
_CHATTY = ("httpx", "httpcore", "hpack", "hishel", "githubkit")


class HostRefused(Exception):
    """The host, or the address behind its name, is not allowed. Nothing was sent."""


@dataclass
class _BasicAuthStrategy(BaseAuthStrategy):
    """How git servers take a token: as the password of a user whose name does not matter."""

    token: str

    def get_auth_flow(self, github: GitHubCore[Any]) -> httpx.Auth:  # noqa: ARG002 - githubkit's own signature
        return httpx.BasicAuth(_GIT_USER, self.token)


class _Client(GitHubCore[BaseAuthStrategy]):
    """githubkit without its judgement of answers: ours knows more cases, and never raises."""

    def _check_is_error(self, response: httpx.Response) -> bool:  # noqa: ARG002 - githubkit's own signature
        return False

    def _check_rate_limit(self, response: Any) -> None:
        """Leave it to `answers`."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One request: what is asked, and how the answer is read."""

    base: str
    url: str
    auth: BaseAuthStrategy
    query: Mapping[str, str]
    headers: Mapping[str, str]
    read: answers.Read
    # What must not get into the log.
    secret: tuple[str, ...]


def quiet() -> None:
    """Keep the libraries below from writing what passes through them, at whatever level the process logs."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class Sessions:
    """The way to every origin that is allowed. Nothing is opened before the first request."""

    def __init__(
        self,
        *,
        clock: Clock,
        may_be_private: network.MayBePrivate,
        version: str,
        api: str,
        ca_file: Path | None,
        limits: Limits,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._agent = f"mooring/{version}"
        self._backend = network.GuardedBackend(may_be_private)
        self._own = {origins.host_of(api), origins.host_of(origins.web_url(api))}
        self._own_tls = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
        self._public_tls: ssl.SSLContext | None = None
        # As many as the administrator allows hosts.
        self._transports: dict[origins.Host, network.OriginTransport] = {}

    async def get(self, api: str, url: str, token: str | None, query: Mapping[str, str] | None = None) -> Answer:
        """Ask the REST API once; raises HostRefused, and nothing else."""
        auth = TokenAuthStrategy(token) if token is not None else UnauthAuthStrategy()
        return await self._asked(_Question(api, url, auth, query or {}, _HEADERS, answers.document, _forms(token)))

    async def refs(self, url: str, token: str | None) -> Answer:
        """Ask a git server once for its refs; raises HostRefused, and nothing else."""
        auth = _BasicAuthStrategy(token) if token is not None else UnauthAuthStrategy()
        # Some servers answer at a path without .git only to whom they take for git.
        headers = {"Accept": refs.MEDIA_TYPE, "Accept-Encoding": "identity", "User-Agent": f"git/2.0 ({self._agent})"}
        query = {"service": "git-upload-pack"}
        list_url = f"{url}/info/refs"
        return await self._asked(_Question(url, list_url, auth, query, headers, refs.document, _forms(token)))

    async def _asked(self, question: _Question) -> Answer:
        url, secret = question.url, question.secret
        try:
            async with asyncio.timeout(self._limits.total_timeout):
                response = await self._send(question)
        except TimeoutError:
            return self._failed(url, f"did not answer within {self._limits.total_timeout:.0f} s")
        except GitHubException as error:
            cause = error.__cause__ or error
            if isinstance(cause, network.AddressRefused):
                host = origins.host_of(question.base)
                logger.warning("%s leads to an address that is not allowed: nothing was sent", host)
                raise HostRefused from None
            return self._failed(url, _why(cause), f"{type(cause).__name__}: {_fit(str(cause), secret)}")
        got = {name.lower(): value for name, value in response.headers.items()}
        status, body, now = response.status_code, response.content, self._clock.now()
        answer = answers.decode(status, got, body, now=now, limits=self._limits, read=question.read)
        if status >= 300:
            said = _fit(answers.words(body), secret)
            logger.info("GET %s: %s (%s): %s", _fit(url), status, answer.result, said)
        elif isinstance(answer, Failed):
            return self._failed(url, answer.why)
        return answer

    async def _send(self, question: _Question) -> httpx.Response:
        limits = self._limits
        client = _Client(
            question.auth,
            base_url=question.base,
            user_agent=self._agent,
            follow_redirects=False,
            timeout=httpx.Timeout(limits.read_timeout, connect=limits.connect_timeout, pool=limits.total_timeout),
            trust_env=False,
            async_transport=self._transport(question.base),
            cache_strategy=MemCacheStrategy(),
            http_cache=False,
            auto_retry=False,
        )
        response = await client.arequest(
            "GET", question.url, params=dict(question.query) or None, headers=dict(question.headers)
        )
        return response.raw_response

    def _transport(self, api: str) -> network.OriginTransport:
        host = origins.host_of(api)
        if host not in self._transports:
            self._transports[host] = network.OriginTransport(
                api, backend=self._backend, tls=self._tls(host), limits=self._limits
            )
        return self._transports[host]

    def _tls(self, host: origins.Host) -> ssl.SSLContext:
        if self._own_tls is not None and host in self._own:
            return self._own_tls
        if self._public_tls is None:
            self._public_tls = httpx.create_ssl_context(trust_env=False)
        return self._public_tls

    def _failed(self, url: str, why: str, detail: str = "") -> Failed:
        logger.warning("GET %s: GitHub %s%s", _fit(url), why, f" ({detail})" if detail else "")
        return Failed(why)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.shut()
        self._transports.clear()


def _forms(token: str | None) -> tuple[str, ...]:
    """Return a token as it is sent: some servers repeat what they got."""
    if token is None:
        return ()
    return token, base64.b64encode(f"{_GIT_USER}:{token}".encode()).decode()


def _fit(text: str, secret: tuple[str, ...] = ()) -> str:
    """Make a text fit for the log: bounded, one line, no token."""
    return answers.plain(token_shape.redact(text, *secret))


def _why(cause: BaseException) -> str:
    """Say in our own words what went wrong on the way; what the libraries say may quote what was sent or received."""
    if isinstance(cause, network.Unreadable):
        return f"answered with {cause}"
    name = type(cause).__name__
    if "Timeout" in name:
        return "did not answer in time"
    if isinstance(cause.__cause__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return "shows a certificate that is not trusted"
    if name == "ConnectError":
        return "cannot be reached"
    return "broke off the connection or the answer"
