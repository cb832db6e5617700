"""Bundles of certificates: read whole or not at all, and good for one host."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from mooring.domain.origins import Host
from mooring.github.limits import LIMITS, Limits
from mooring.github.lines import Lines
from mooring.github.network import JudgedAddresses
from mooring.github.tls import Authorities, BadBundle, Place
from tests.unit.github.keys import curve_key, pem


@cache
def certificate(name: str) -> str:
    """Return an authority's certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start, key = datetime(2026, 1, 1, tzinfo=UTC), curve_key()
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode()


def names(context: ssl.SSLContext) -> set[str]:
    """Return whom a context trusts."""
    subjects: list[Any] = [found["subject"] for found in context.get_ca_certs()]
    return {value for subject in subjects for ((_, value), *_) in subject[-1:]}


def authorities(own_file: Path | None = None, limits: Limits = LIMITS) -> Authorities:
    """Return authorities of an operator whose own host is ghes.example."""
    return Authorities(own=frozenset({Host("ghes.example")}), own_file=own_file, limits=limits)


def test_a_bundle_is_trusted_beside_the_systems(tmp_path: Path) -> None:
    """At its place alone; at the operator's own host beside the operator's own file."""
    own_file = tmp_path / "own.pem"
    own_file.write_text(certificate("Own"))
    trust, bundle = authorities(own_file), certificate("One") + "# a comment\n" + certificate("Two")
    common = names(trust.context(Place.of("https://other.example")))
    assert len(common) > 50
    assert names(trust.context(Place.of("https://other.example", bundle))) == common | {"One", "Two"}
    assert names(trust.context(Place.of("https://other.example"))) == common
    assert names(trust.context(Place.of("https://ghes.example/api/v3"))) == {"Own"}
    assert names(trust.context(Place.of("https://ghes.example/api/v3", bundle))) == {"Own", "One", "Two"}
    assert names(trust.context(Place.of("https://ghes.example/api/v3"))) == {"Own"}


BROKEN: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "words": lambda: "trust me",
    "not-ascii": lambda: certificate("One") + "é",
    "key": lambda: pem(curve_key()),
    "second-broken": lambda: certificate("One") + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "second-cut": lambda: certificate("One") + certificate("Two")[:200],
    "long": lambda: certificate("One") + "#" * LIMITS.bundle,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_bundle(name: str) -> None:
    """Half of it is not trusted either."""
    with pytest.raises(BadBundle):
        authorities().context(Place.of("https://other.example", BROKEN[name]()))


def test_a_place_shows_no_bundle() -> None:
    """Only what it is called; two bundles have two names."""
    one, two, none = (Place.of("https://a.example", ca) for ca in (certificate("One"), certificate("Two"), None))
    assert len({one.line, two.line, none.line}) == 3
    assert "CERTIFICATE" not in repr(one)


async def test_few_lines_with_bundles_are_kept() -> None:
    """The least recently used goes first, unless somebody uses it; a bundle's line is nobody else's."""
    limits = Limits(bundles=2)
    addresses = JudgedAddresses(lambda _name, _port: True, seconds=1)
    lines = Lines(addresses=addresses, authorities=authorities(), limits=limits)
    places = [Place.of("https://a.example", certificate(name)) for name in ("One", "Two", "Three", "Four")]
    async with lines.to(places[0]) as first, lines.to(Place.of("https://a.example")) as common:
        assert first is not common
        for place in places[1:]:
            async with lines.to(place):
                pass
        async with lines.to(places[0]) as again:
            assert again is first
        assert len(lines._particular) == 2  # noqa: SLF001 - the bound is what is tested
    await lines.aclose()
