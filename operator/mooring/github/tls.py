"""Whom we trust where. A bundle of certificates that an origin brings is part of that origin, and good nowhere else."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from cryptography import x509

from mooring.domain import origins
from mooring.github.limits import Limits

# The name of the trust that all have who bring no certificates of their own.
_COMMON = ""


class BadBundle(Exception):
    """What should be certificates in PEM cannot be read. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go, and whom they trust there."""

    # The URL of the API, or of the repository at a git server.
    base: str
    host: origins.Host
    ca: str | None = field(default=None, repr=False)
    # The bundle's digest.
    trust: str = _COMMON

    @classmethod
    def of(cls, base: str, ca: str | None = None) -> Place:
        """Return the place of a URL in its one form."""
        digest = _COMMON if ca is None else hashlib.sha256(ca.encode("utf-8", "surrogatepass")).hexdigest()
        return cls(base, origins.host_of(base), ca, digest)

    @property
    def line(self) -> tuple[origins.Host, str]:
        """Name the connections that lead there."""
        return self.host, self.trust


class Authorities:
    """The contexts for TLS. Nothing is read before the first connection, but the operator's own file."""

    def __init__(self, *, own: frozenset[origins.Host], own_file: Path | None, limits: Limits) -> None:
        self._own = own
        self._own_file = own_file
        self._limits = limits
        self._own_tls = ssl.create_default_context(cafile=str(own_file)) if own_file else None
        self._public_tls: ssl.SSLContext | None = None

    def context(self, place: Place) -> ssl.SSLContext:
        """Return whom to trust at a place; raise BadBundle. With a bundle it is a new one, which nobody else gets."""
        if place.ca is not None:
            return self._with(place.host, place.ca)
        if self._own_tls is not None and place.host in self._own:
            return self._own_tls
        if self._public_tls is None:
            self._public_tls = httpx.create_ssl_context(trust_env=False)
        return self._public_tls

    def _with(self, host: origins.Host, bundle: str) -> ssl.SSLContext:
        self._check(bundle)
        if self._own_file is not None and host in self._own:
            context = ssl.create_default_context(cafile=str(self._own_file))
        else:
            context = httpx.create_ssl_context(trust_env=False)
        try:
            context.load_verify_locations(cadata=bundle)
        except (ssl.SSLError, ValueError, TypeError):
            raise BadBundle from None
        return context

    def _check(self, bundle: str) -> None:
        """Read every certificate: OpenSSL stops without a word at the first one that it cannot read."""
        if len(bundle) > self._limits.bundle or not bundle.isascii():
            raise BadBundle
        try:
            x509.load_pem_x509_certificates(bundle.encode("ascii"))
        except ValueError:
            raise BadBundle from None
