"""A server of this machine with a certificate that is made for the test, and who trusts it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.unit.github.keys import curve_key, pem

HERE = "127.0.0.1"
# A name that no resolver knows.
NAME = "github.example"


@cache
def _certificate() -> str:
    names = [x509.IPAddress(ip_address(HERE)), x509.DNSName(NAME)]
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HERE)]), datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(curve_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(curve_key(), hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM).decode()


def local_server(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of the server, and one of a client that trusts it."""
    file = folder / "server.pem"
    file.write_text(_certificate() + pem(curve_key()))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(cadata=_certificate())
    return serving, trusting
