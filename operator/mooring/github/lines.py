"""The connections to all places: which are open, and which are let go for others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mooring.domain.origins import Host
from mooring.github.limits import Limits
from mooring.github.network import JudgedAddresses, OriginTransport
from mooring.github.tls import Authorities, Place
from mooring.guarded import Permit, always

_Key = tuple[Host, str]


@dataclass(slots=True)
class _Line:
    transport: OriginTransport
    users: int = 0


class Lines:
    """One transport for each host and trust. Nothing is opened before the first request."""

    def __init__(
        self, *, addresses: JudgedAddresses, authorities: Authorities, limits: Limits, permit: Permit = always
    ) -> None:
        self._addresses = addresses
        self._permit = permit
        self._authorities = authorities
        self._limits = limits
        # As many as the administrator allows hosts.
        self._common: OrderedDict[_Key, _Line] = OrderedDict()
        # Tenants bring their bundles: so many are kept, the least recently used goes first.
        self._particular: OrderedDict[_Key, _Line] = OrderedDict()

    @asynccontextmanager
    async def to(self, place: Place) -> AsyncIterator[OriginTransport]:
        """Give the transport to a place; raises tls.BadBundle. While somebody uses it, it is not closed."""
        lines = self._common if place.ca is None else self._particular
        line = lines.get(place.line)
        if line is None:
            tls = self._authorities.context(place)
            transport = OriginTransport(
                place.base, addresses=self._addresses, tls=tls, limits=self._limits, permit=self._permit
            )
            line = lines[place.line] = _Line(transport)
        lines.move_to_end(place.line)
        line.users += 1
        try:
            yield line.transport
        finally:
            line.users -= 1
            await self._let_go()

    async def _let_go(self) -> None:
        surplus = len(self._particular) - self._limits.bundles
        idle = [key for key, line in self._particular.items() if not line.users][: max(0, surplus)]
        for line in [self._particular.pop(key) for key in idle]:
            await line.transport.shut()

    async def aclose(self) -> None:
        """Close all connections."""
        lines = [*self._common.values(), *self._particular.values()]
        self._common.clear()
        self._particular.clear()
        for line in lines:
            await line.transport.shut()
