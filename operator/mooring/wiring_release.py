"""The composition root of `mooring release`. Nothing is decided here, and nothing runs before `Release.run`."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from mooring.cluster.connection import Connection
from mooring.cluster.estate import KubernetesEstate
from mooring.cluster.leases import KubernetesLease
from mooring.domain import names
from mooring.observability.audit import AuditLog
from mooring.services.clock import SystemClock
from mooring.services.release import Release
from mooring.settings import Settings


@asynccontextmanager
async def release(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Release]:
    """Build it. Raises ConfigurationError without access to a cluster."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        connection = await Connection.open(environ)
        stack.push_async_callback(connection.close)
        yield Release(
            KubernetesEstate(connection, clock, instance=socket.gethostname(), namespace=settings.namespace),
            KubernetesLease(connection, clock, settings.namespace, names.OPERATOR_LEASE),
            AuditLog(),
            f"{socket.gethostname()}_{secrets.token_hex(4)}",
            time.monotonic,
            namespaces=settings.watch_namespaces,
        )
