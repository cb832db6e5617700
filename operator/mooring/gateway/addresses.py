"""Who sends: the peer, or whom a proxy names that the administrator trusts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# More proxies than that stand in no chain.
_MOST_HOPS = 32
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from."""

    # What limits are kept by; of IPv6 the network, of which each subscriber has one.
    key: str
    # Whether the address is that of one sender; behind an unknown proxy or gateway, everybody has the same one.
    is_known: bool


def client(peer: object, forwarded: Iterable[str], trusted: Sequence[Network]) -> Client:
    """Say who sends, from the peer's address and the values of X-Forwarded-For."""
    address = _read(str(peer))
    if address is None:
        return Client("unknown", is_known=False)
    if not _is_in(address, trusted):
        return Client(_key(address), is_known=address.is_global)
    told = _told(forwarded, trusted)
    return Client(_key(address), is_known=False) if told is None else Client(_key(told), is_known=True)


def _told(forwarded: Iterable[str], trusted: Sequence[Network]) -> Address | None:
    """Return the right-most address that no trusted proxy has: what stands left of it, anybody can write."""
    hops = [hop for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops[-_MOST_HOPS:]):
        address = _read(_without_port(hop.strip()))
        if address is None or not _is_in(address, trusted):
            return address
    return None


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _read(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _key(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
