"""One request to GitHub: githubkit makes it, `network` sends it, `answers` reads it.

Every request has a client of its own, so that neither a credential nor a cached answer can pass from one to another;
connections are shared by origin. githubkit's generated models are left alone (their memory), and so are its retries and
its reading of rate limits (a date in Retry-After breaks it).
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from githubkit import BaseAuthStrategy, GitHubCore
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException

from mooring.domain import origins, token_shape
from mooring.domain.leadership import NotLeading
from mooring.github import answers, network, refs, tls
from mooring.github.answers import Answer, Failed
from mooring.github.clocks import Clocks
from mooring.github.credentials import Credential, strategy
from mooring.github.limits import Limits
from mooring.github.lines import Lines
from mooring.github.tls import Place
from mooring.guarded import Permit, always
from mooring.ports import Clock

logger = logging.getLogger("mooring.github")

_HEADERS = {"X-GitHub-Api-Version": "2022-11-28", "Accept-Encoding": "identity"}
# They write whole requests and headers at their debug level, and httpx each URL at info.
_CHATTY = ("httpx", "httpcore", "hpack", "hishel", "githubkit")


_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}")
_BLOT = "[redacted]"


class HostRefused(Exception):
    """The host, or the address behind its name, is not allowed. Nothing was sent."""


class _Client(GitHubCore[BaseAuthStrategy]):
    """githubkit without its judgement of answers: ours knows more cases, and never raises."""

    def _check_is_error(self, response: httpx.Response) -> bool:  # noqa: ARG002 - githubkit's own signature
        return False

    def _check_rate_limit(self, response: Any) -> None:
        """Leave it to `answers`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, and how a good answer is read."""

    url: str
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    read: answers.Read = answers.document
    headers: Mapping[str, str] = field(default_factory=lambda: _HEADERS)
    # What the body has that nobody may see, should the server repeat it.
    secrets: tuple[str, ...] = field(default=(), repr=False)


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
        clocks: Clocks,
        may_be_private: network.MayBePrivate,
        version: str,
        api: str,
        ca_file: Path | None,
        limits: Limits,
        permit: Permit = always,
    ) -> None:
        self._clock = clock
        self._clocks = clocks
        self._limits = limits
        self._agent = f"mooring/{version}"
        own = frozenset({origins.host_of(api), origins.host_of(origins.web_url(api))})
        self._lines = Lines(
            addresses=network.JudgedAddresses(may_be_private, seconds=limits.connect_timeout),
            authorities=tls.Authorities(own=own, own_file=ca_file, limits=limits),
            limits=limits,
            permit=permit,
        )

    async def refs(self, place: Place, credential: Credential | None) -> Answer:
        """Ask a git server once for its refs; raises as `ask` does."""
        # Some servers answer at a path without .git only to whom they take for git.
        headers = {"Accept": refs.MEDIA_TYPE, "Accept-Encoding": "identity", "User-Agent": f"git/2.0 ({self._agent})"}
        query = {"service": "git-upload-pack"}
        request = Request(f"{place.base}/info/refs", query=query, headers=headers, read=refs.document)
        return await self.ask(place, credential, request)

    async def ask(self, place: Place, credential: Credential | None, request: Request) -> Answer:
        """Ask once; raises HostRefused, tls.BadBundle and NotLeading, and nothing else."""
        secret = (*(credential.forms() if credential is not None else ()), *request.secrets)
        sent = self._clock.now()
        try:
            async with asyncio.timeout(self._limits.total_timeout):
                response = await self._send(place, credential, request)
        except TimeoutError:
            return self._failed(request, f"did not answer within {self._limits.total_timeout:.0f} s")
        except GitHubException as error:
            cause = error.__cause__ or error
            if isinstance(cause, NotLeading):
                raise cause from None
            if isinstance(cause, network.AddressRefused):
                logger.warning("%s leads to an address that is not allowed: nothing was sent", place.host)
                raise HostRefused from None
            return self._failed(request, _why(cause), f"{type(cause).__name__}: {_fit(str(cause), secret)}")
        now = self._clock.now()
        got = {name.lower(): value for name, value in response.headers.items()}
        self._clocks.note(place.line, answers.date(got), sent=sent, received=now)
        status, body, ahead = response.status_code, response.content, self._clocks.ahead(place.line)
        answer = answers.decode(status, got, body, now=now, ahead=ahead, limits=self._limits, read=request.read)
        if status >= 300:
            said = _fit(answers.words(body), secret)
            logger.info("%s %s: %s (%s): %s", request.method, _fit(request.url), status, answer.result, said)
        elif isinstance(answer, Failed):
            return self._failed(request, answer.why)
        return answer

    async def _send(self, place: Place, credential: Credential | None, request: Request) -> httpx.Response:
        limits = self._limits
        async with self._lines.to(place) as transport:
            client = _Client(
                strategy(credential),
                base_url=place.base,
                user_agent=self._agent,
                follow_redirects=False,
                timeout=httpx.Timeout(limits.read_timeout, connect=limits.connect_timeout, pool=limits.total_timeout),
                trust_env=False,
                async_transport=transport,
                cache_strategy=MemCacheStrategy(),
                http_cache=False,
                auto_retry=False,
            )
            response = await client.arequest(
                request.method,
                request.url,
                params=dict(request.query) or None,
                json=request.body,
                headers=dict(request.headers),
            )
        return response.raw_response

    def _failed(self, request: Request, why: str, detail: str = "") -> Failed:
        told = f" ({detail})" if detail else ""
        logger.warning("%s %s: GitHub %s%s", request.method, _fit(request.url), why, told)
        return Failed(why)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._lines.aclose()


def _fit(text: str, secret: tuple[str, ...] = ()) -> str:
    """Make a text fit for the log: bounded, one line, no token and no JWT, whole or cut."""
    return answers.plain(_JWT.sub(_BLOT, token_shape.redact(text, *secret)))


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
