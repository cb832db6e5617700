"""Private keys for tests, made once: to find one takes a quarter of a second."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

PKCS1, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """Return a key; another number is another key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat = PKCS1, phrase: str = "") -> str:
    """Write a key down."""
    locked = BestAvailableEncryption(phrase.encode()) if phrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, locked).decode()


@cache
def curve_key() -> ec.EllipticCurvePrivateKey:
    """Return a key that is none of an App."""
    return ec.generate_private_key(ec.SECP256R1())
