"""The connection to the API server: configuration, credentials, TLS and raw requests.

`kubernetes.aio` reads the configuration; the requests are aiohttp's own, with bytes in and out. Nothing here logs or
raises what was sent or received, because it may be a Secret.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml
from yarl import URL

from mooring.cluster.limits import Limits
from mooring.guarded import SAFE, Permit, always, guarded

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration

log = logging.getLogger(__name__)

JSON = "application/json"
# What Kubernetes calls the files of a service account's credential.
TOKEN_FILE, CA_FILE = "token", "ca.crt"


class ConfigurationError(Exception):
    """There is no usable access to a cluster; the text says what to do."""


class AnswerTooLarge(Exception):
    """The answer exceeds what was allowed for it."""


# What a request fails with when no usable answer came; `errors.no_answer` maps them all.
NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError, AnswerTooLarge)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said, undecoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One session with the API server. `await Connection.open(environ)`, and `await close()` at the end."""

    def __init__(
        self, configuration: "Configuration", reload: "Reload", limits: Limits, permit: Permit | None = None
    ) -> None:
        self.limits = limits
        self._permit = permit or always
        self.requests = asyncio.Semaphore(limits.requests_in_flight)
        self.pages = asyncio.Semaphore(limits.pages_in_flight)
        self._base = _checked(configuration.host)
        self._credentials = _Credentials(configuration, reload, limits.token_check_seconds)
        self._timeout = aiohttp.ClientTimeout(total=limits.request_seconds, connect=limits.connect_seconds)
        self._per_request: dict[str, Any] = {"allow_redirects": False}
        if configuration.tls_server_name:
            self._per_request["server_hostname"] = configuration.tls_server_name
        if configuration.proxy:
            self._per_request["proxy"] = configuration.proxy
        self._session = _session(configuration, limits)

    @classmethod
    async def open(
        cls,
        environ: Mapping[str, str],
        limits: Limits | None = None,
        *,
        permit: Permit | None = None,
        account: Path | None = None,
    ) -> "Connection":
        """Read the configuration that the environment names. No request is made yet.

        Whatever is no mere reading is asked of `permit` before anything is sent, and again before its body is.
        """
        reload = Reload(environ, account)
        return cls(await reload(), reload, limits or Limits(), permit)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float | None = None,
    ) -> Answer:
        """Send one request when a slot is free; return its answer, whatever its status, or raise NO_ANSWER."""
        times = self._timeout if seconds is None else self._limited(seconds)
        async with self.requests:
            return await self._exchange(
                method,
                path,
                body,
                content_type=content_type,
                accept=accept,
                times=times,
                most=self.limits.answer_bytes,
            )

    async def page(self, path: str, *, accept: str, seconds: float) -> Answer:
        """Read one page of a list; raise AnswerTooLarge when it holds more than a page may."""
        async with self.pages:
            return await self._exchange(
                "GET",
                path,
                None,
                content_type=JSON,
                accept=accept,
                times=self._limited(seconds),
                most=self.limits.page_bytes,
            )

    @asynccontextmanager
    async def stream(
        self, path: str, *, accept: str, seconds: float, silence: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a watch: it lasts for at most `seconds`, and breaks after `silence` seconds without a byte."""
        timeout = aiohttp.ClientTimeout(total=seconds, connect=self.limits.connect_seconds, sock_read=silence)
        headers = await self._headers(accept)
        response = await self._session.get(self._url(path), headers=headers, timeout=timeout, **self._per_request)
        try:
            if response.status == 401:
                self._credentials.refused()
            yield response
        finally:
            # Not released: an unfinished watch must not go back to the pool. Nor is the server's goodbye waited for: it
            # may come when the process has no event loop any more, which uvloop takes for a failure.
            if response.connection is not None and response.connection.transport is not None:
                response.connection.transport.abort()
            response.close()

    async def _headers(self, accept: str) -> dict[str, str]:
        token = await self._credentials.header()
        return {"Authorization": token, "Accept": accept} if token else {"Accept": accept}

    def _limited(self, seconds: float) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=seconds, connect=self.limits.connect_seconds)

    def _url(self, path: str) -> URL:
        return URL(self._base + path, encoded=True)

    async def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        *,
        content_type: str,
        accept: str,
        times: aiohttp.ClientTimeout,
        most: int,
    ) -> Answer:
        headers = await self._headers(accept)
        if body is not None:
            headers["Content-Type"] = content_type
        if method not in SAFE:
            self._permit()
        data = None if body is None else guarded(body, self._permit)
        async with self._session.request(
            method, self._url(path), data=data, headers=headers, timeout=times, **self._per_request
        ) as response:
            if response.status == 401:
                self._credentials.refused()
            return Answer(response.status, response.headers, await read_at_most(response, most))


async def read_at_most(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read a body; raise AnswerTooLarge as soon as it is longer than allowed."""
    if (response.content_length or 0) > most:
        response.close()
        raise AnswerTooLarge
    chunks = bytearray()
    async for chunk in response.content.iter_any():
        chunks += chunk
        if len(chunks) > most:
            response.close()
            raise AnswerTooLarge
    return bytes(chunks)


class Reload:
    """Where the configuration comes from: `KUBECONFIG`, or else the pod's service account. Call it again and again.

    `account` is a folder with the credential of another service account, to be used in place of the pod's.
    """

    def __init__(self, environ: Mapping[str, str], account: Path | None = None) -> None:
        self._environ = environ
        self._account = account

    async def __call__(self) -> "Configuration":
        """Read it afresh."""
        # kubernetes.aio costs 20 MiB and 0.2 s to import, so only who opens a connection pays.
        from kubernetes.aio.client import Configuration
        from kubernetes.aio.config import ConfigException, load_kube_config
        from kubernetes.aio.config.incluster_config import (
            SERVICE_HOST_ENV_NAME,
            SERVICE_TOKEN_FILENAME,
            InClusterConfigLoader,
        )

        # The package has no annotations.
        load: Any = load_kube_config
        in_cluster: Any = InClusterConfigLoader

        configuration = Configuration()
        kubeconfig = self._environ.get("KUBECONFIG")
        try:
            if kubeconfig:
                _must_exist(kubeconfig)
                await load(kubeconfig, client_configuration=configuration, persist_config=False)
            elif self._environ.get(SERVICE_HOST_ENV_NAME):
                account = self._account or Path(SERVICE_TOKEN_FILENAME).parent
                loader = in_cluster(str(account / TOKEN_FILE), str(account / CA_FILE), environ=self._environ)
                loader.load_and_set(configuration)
            else:
                raise ConfigurationError(
                    "no access to a cluster: set KUBECONFIG to a kubeconfig file, or run in a pod with an account"
                )
        except (ConfigException, OSError, AttributeError, TypeError, ValueError, yaml.YAMLError) as problem:
            # Only the kind of a parser's error is told: its text may quote a line of the file, which holds a token.
            reason = str(problem) if isinstance(problem, ConfigException | OSError) else type(problem).__name__
            source = kubeconfig or "the pod's service account"
            raise ConfigurationError(f"cannot read the access to the cluster from {source}: {reason}") from None
        return configuration


def _must_exist(kubeconfig: str) -> None:
    """Say plainly that there is no file: the package would speak of a key that it expects in nothing."""
    if not any(Path(path).exists() for path in kubeconfig.split(os.pathsep)):
        raise ConfigurationError(f"there is no kubeconfig at {kubeconfig}: set KUBECONFIG to a kubeconfig file")


class _Credentials:
    """The Authorization header, asked of its source again every so often, and at once after the server refused it."""

    def __init__(self, configuration: "Configuration", reload: Reload, every: float) -> None:
        self._configuration = configuration
        self._reload = reload
        self._every = every
        self._header: str | None = None
        self._check_at = 0.0
        self._was_refused = False
        self._lock = asyncio.Lock()

    async def header(self) -> str:
        """Return the header's value, empty where the client's certificate is all there is."""
        if self._header is None or time.monotonic() >= self._check_at:
            async with self._lock:
                if self._header is None or time.monotonic() >= self._check_at:
                    await self._check()
        return self._header or ""

    def refused(self) -> None:
        """Note an answer 401: the token has expired or was replaced. Acted on at most once a second."""
        self._was_refused = True
        self._check_at = min(self._check_at, time.monotonic() + 1)

    async def _check(self) -> None:
        try:
            if self._was_refused:
                self._configuration = await self._reload()
            settings = await self._configuration.auth_settings()
            self._header = str(settings["BearerToken"]["value"]) if settings else ""
            self._was_refused = False
        except (ConfigurationError, OSError) as problem:
            log.warning("the credentials for the cluster could not be read again, the old ones stay: %s", problem)
            self._header = self._header or ""
        self._check_at = time.monotonic() + self._every


def _checked(host: str) -> str:
    """Return the server's address; a token never travels in clear text, except on this machine (kubectl proxy)."""
    url = URL(host.rstrip("/"))
    if url.scheme != "https" and not _is_loopback(url.host or ""):
        raise ConfigurationError(
            f"the cluster's address {url.origin()} is not https: correct `server` in the kubeconfig"
        )
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _session(configuration: "Configuration", limits: Limits) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # the semaphores bound requests; watches are as many as were started
        ssl=_tls(configuration),
        keepalive_timeout=limits.keepalive_seconds,
    )
    headers = {
        "User-Agent": f"mooring/{_version()}",
        "Accept-Encoding": "identity",  # inside a cluster, compression costs more than it saves
    }
    return aiohttp.ClientSession(
        connector=connector, headers=headers, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
    )


def _tls(configuration: "Configuration") -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
        # Python 3.13 refuses authorities without key usage, which many clusters have and every other client takes.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except OSError as problem:
        raise ConfigurationError(f"the certificates for the cluster cannot be used: {problem}") from None
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _version() -> str:
    try:
        return version("mooring")
    except PackageNotFoundError:
        return "source"
