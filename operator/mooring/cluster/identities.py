"""`ports.Identities` on a real API server: short-lived credentials of another service account of the same namespace.

The connection is one without the leader's guard: such a credential changes nothing, and each Pod needs its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from mooring.cluster import errors
from mooring.cluster.connection import NO_ANSWER, ConfigurationError, Connection, Reload
from mooring.cluster.errors import Asked
from mooring.cluster.kinds import RESOURCES
from mooring.ports import Clock, Identity


class KubernetesIdentities:
    """TokenRequests in one namespace."""

    def __init__(self, connection: Connection, clock: Clock, environ: Mapping[str, str], namespace: str) -> None:
        self._connection = connection
        self._clock = clock
        self._reload = Reload(environ)
        self._namespace = namespace

    async def issue(self, account: str, seconds: int) -> Identity:
        """Have a credential of an account made, for the API server itself."""
        asked = Asked("create", RESOURCES["ServiceAccount"], self._namespace, account, "token")
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        try:
            answer = await self._connection.request("POST", asked.path, json.dumps(body).encode())
        except NO_ANSWER as error:
            raise errors.no_answer(asked, error) from None  # the cause may quote what was sent
        if answer.status >= 300:
            raise errors.refusal(asked, answer, self._clock.now())
        status = errors.decoded_object(asked, answer).get("status") or {}
        try:
            return Identity(str(status["token"]), datetime.fromisoformat(status["expirationTimestamp"]))
        except (KeyError, TypeError, ValueError):
            raise errors.no_object(asked) from None

    async def authorities(self) -> str:
        """Return the certificates, in PEM, that the API server is known by; raise ConfigurationError."""
        configuration = await self._reload()
        given = configuration.ca_cert_data
        if given:
            return given if isinstance(given, str) else bytes(given).decode("ascii")
        if not configuration.ssl_ca_cert:
            raise ConfigurationError(
                "the access to the cluster names no authority, which the gateway's credential needs: name it in the"
                " kubeconfig, or run in a pod with an account"
            )
        try:
            return await asyncio.to_thread(Path(configuration.ssl_ca_cert).read_text, encoding="ascii")
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigurationError(f"cannot read the cluster's authority: {type(problem).__name__}") from None
