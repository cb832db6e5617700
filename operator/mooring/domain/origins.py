"""Where GitHub answers: which URLs are well-formed, which hosts are allowed, which addresses are refused.

Every credential is bound to one origin (scheme, host, port). Nothing here resolves a name or opens a connection.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import urljoin

DEFAULT_API_URL = "https://api.github.com"
HTTPS = 443
_MAX_URL = 512
_MAX_LOCATION = 4096

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~+-]+)*/?")
# Visible ASCII; a backslash is left out because some readers of URLs take it for a slash.
_LOCATION = re.compile(r"[!-\[\]-~]+")
_API_PATH = "/api/v3"
# Where github.com keeps large files, as its documentation names the hosts that have to be reached for them.
_CLOUD_LARGE_FILES = ("github-cloud.githubusercontent.com", "github-cloud.s3.amazonaws.com")
# GitHub's own cloud: its hosts are public, so a private address behind one of them is a trap.
_CLOUD_API = re.compile(rf"api\.(github\.com|{_LABEL}\.ghe\.com)")


class BadUrl(ValueError):
    """A URL or a host that is not well-formed; the message says what is wrong, and is fit for people."""


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """A host and its port."""

    name: str
    port: int = HTTPS

    def __str__(self) -> str:
        """Write it as in a URL: without the port that https has anyway."""
        return self.name if self.port == HTTPS else f"{self.name}:{self.port}"


_CLOUD = Host("github.com")


def parse_host(text: str) -> Host:
    """Read `host` or `host:port`; raise BadUrl. Without a port it stands for 443 alone."""
    name, colon, port = text.lower().partition(":")
    if not text.isascii() or len(name) > 253 or not _HOST.fullmatch(name):
        raise BadUrl(f"{_shown(text)} is not a host: write example.com or example.com:8443, in ASCII")
    if not colon:
        return Host(name)
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise BadUrl(f"{_shown(text)} has no valid port: write a number from 1 to 65535 after the colon")
    return Host(name, int(port))


def _shown(text: str) -> str:
    return repr(text[:100])


# A few URLs are asked about again and again; of those of tenants the last ones stay.
@lru_cache(1024)
def _parse(text: str) -> tuple[Host, str]:
    """Split a URL into host and path; raise BadUrl for everything that a credential must not be sent to."""
    if len(text) > _MAX_URL or not text.isascii() or not text.isprintable():
        raise BadUrl(f"a URL must be printable ASCII of at most {_MAX_URL} characters")
    scheme, separator, rest = text.partition("://")
    if scheme.lower() != "https" or not separator:
        raise BadUrl("a URL must start with https://")
    if "@" in rest:
        raise BadUrl("a URL must not carry a user name or password: name a Secret instead")
    if "?" in rest or "#" in rest:
        raise BadUrl("a URL must have neither query nor fragment")
    authority, slash, path = rest.partition("/")
    path = slash + path
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise BadUrl(f"{_shown(text)} has a path that is not plain: letters, digits and . _ ~ + - between slashes")
    return parse_host(authority), path.rstrip("/")


def api_url(text: str) -> str:
    """Return an API URL in its one form (lower-case host, no default port, no final slash); raise BadUrl."""
    host, path = _parse(text)
    return f"https://{host}{path}"


def host_of(url: str) -> Host:
    """Return where a URL leads; raise BadUrl where it is not well-formed."""
    return _parse(url)[0]


def web_url(api: str) -> str:
    """Return where people and git find what an API URL serves; raise BadUrl."""
    host, path = _parse(api)
    if host.port == HTTPS and _CLOUD_API.fullmatch(host.name):
        return f"https://{host.name.removeprefix('api.')}"
    return f"https://{host}{path.removesuffix(_API_PATH)}"


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, in their one form; raise BadUrl."""
    return f"https://{host_of(url)}"


def api_at(host: str) -> str:
    """Return the API of the GitHub whose pages and repositories are at a host: the way back from `web_url`."""
    cloud = f"api.{host}"
    return f"https://{cloud}" if _CLOUD_API.fullmatch(cloud) else f"https://{host}{_API_PATH}"


def large_file_hosts(url: str, api: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that a repository's large files may come from beside its own.

    What the administrator listed holds for the operator's own GitHub alone, whose API URL is given.
    """
    host = host_of(url)
    known = _CLOUD_LARGE_FILES if host == _CLOUD else ()
    return (*known, *(entry for entry in listed if host == host_of(web_url(api)) and entry not in known))


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """What the administrator lets credentials go to."""

    allowed: frozenset[Host]
    # Hosts that may have private addresses, because the administrator named them.
    listed: frozenset[Host]

    @classmethod
    def of(cls, entries: Iterable[str], *, api: str = DEFAULT_API_URL) -> Self:
        """Put the policy's `allowedHosts` beside the operator's own API URL; raise BadUrl.

        The operator's own URL counts as listed, unless it is GitHub's cloud, whose addresses are public.
        """
        named = frozenset(parse_host(entry) for entry in entries)
        own = frozenset({host_of(api), host_of(web_url(api))})
        cloud = web_url(api) != api and host_of(web_url(api)) != host_of(api)
        return cls(allowed=named | own, listed=named if cloud else named | own)

    def allows(self, url: str) -> bool:
        """Tell whether a URL is well-formed and leads to an allowed host."""
        try:
            return host_of(url) in self.allowed
        except BadUrl:
            return False

    def may_be_private(self, name: str, port: int) -> bool:
        """Tell whether a host may have an address that the internet has not."""
        return Host(name, port) in self.listed


def git_url(text: str, allowed: AllowedHosts) -> str:
    """Return a git URL in its one form; raise BadUrl where it is not well-formed or its host is not allowed."""
    host, path = _parse(text)
    if not path:
        raise BadUrl(f"https://{host} names no repository: add its path")
    if host not in allowed.allowed:
        raise BadUrl(f"the administrator has not allowed the host {host}: ask for it in allowedHosts of the policy")
    return f"https://{host}{path}"


def redirect_target(url: str, location: str, *, api: str) -> str | None:
    """Return where a redirect (or a Link header) leads, or None where that is outside the API that answered."""
    if len(location) > _MAX_LOCATION or not _LOCATION.fullmatch(location):
        return None
    target = urljoin(url, location)
    base = api_url(api)
    # Compared as text, so that no two readers of the URL can disagree about its host.
    rest = target.removeprefix(f"{base}/")
    if rest == target or "#" in rest or {".", ".."} & set(rest.partition("?")[0].split("/")):
        return None
    return target


# --- addresses ---

_REFUSED = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network, unspecified
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, where clouds answer with credentials
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b:1::/48",  # local translation
        "100::/64",  # discard
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique-local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the internet's; what is no address at all is not."""
    try:
        # A scope (fe80::1%eth0) belongs to link-local addresses only.
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed in _TRANSLATED:
        # Networks with IPv6 alone reach IPv4 through this prefix: what counts is the address inside.
        parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
    return not any(parsed in block for block in _REFUSED if block.version == parsed.version)
