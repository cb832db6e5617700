"""One delivery: what is looked at in which order, and what it is answered.

Path and method, headers, size, signature, JSON: each comes before all that costs more. Until the signature is verified
nothing is parsed, nothing is looked up, and nothing is held but the body.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mooring import ports
from mooring.domain.audit import Action
from mooring.domain.webhooks import events
from mooring.domain.webhooks.keys import LIVE_SECRETS
from mooring.gateway import headers
from mooring.gateway.addresses import Client, Network, client
from mooring.gateway.answers import Answer, Refused, as_response
from mooring.gateway.connections import Connection, Gate
from mooring.gateway.headers import Envelope
from mooring.gateway.payloads import payload_of, subject
from mooring.gateway.quotas import Quotas
from mooring.observability.gateway_metrics import Outcome

log = logging.getLogger(__name__)

PING = "ping"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What a receiver may answer; anything else is a defect of it.
_STATUSES = frozenset({200, 202, 429, 503})


class _Gone(Exception):
    """The sender went away, or was cut off."""


@dataclass(slots=True)
class _Visit:
    """What is known of a request so far."""

    request: web.BaseRequest
    connection: Connection
    began: float
    envelope: Envelope | None = None
    # Set when the signature was verified.
    hook: ports.Hook | None = None


class Deliveries:
    """The handler of all requests."""

    def __init__(
        self,
        gate: Gate,
        receiver: ports.Receiver,
        audit: ports.Audit,
        *,
        namespace: str,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self._gate = gate
        self._limits = gate.limits
        self._receiver = receiver
        self._audit = audit
        self._namespace = namespace
        self._trusted = tuple(trusted_proxies)
        self._quotas = Quotas(gate.limits, gate.clock)
        # Large bodies become many objects: one at a time.
        self._large = asyncio.Lock()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101 - the server makes no others
        connection.begin(request)
        visit = _Visit(request, connection, self._gate.clock())
        try:
            answer = await self._answer(visit)
        except Refused as refusal:
            answer = refusal.answer
        except _Gone:
            answer = Answer(400, Outcome.GONE, "the body did not come to its end")
        except Exception:
            log.exception("a delivery could not be answered")
            answer = self._unavailable("something went wrong here: send it again later")
        finally:
            connection.end()
        self._tell(visit, answer)
        # The rest of a body that nobody read would be taken for the next request.
        return as_response(answer, close=connection.is_broken or not request.content.is_eof())

    async def _answer(self, visit: _Visit) -> Answer:
        path_id = headers.path_id(visit.request)
        if missing := self._receiver.not_ready():
            log.debug("a delivery came too early: %s", missing)
            return self._unavailable("Mooring is not ready yet: send it again later")
        hook = self._receiver.hook(path_id)
        if hook is None:
            raise headers.not_here()
        body = await self._verified(visit, hook)
        visit.hook = hook
        try:
            with self._quotas.owned(hook.owner):
                payload = await self._parsed(hook, body)
                del body
                visit.connection.release_body()
                return await self._taken(visit, hook, payload)
        except events.BadPayload as bad:
            raise Refused(400, Outcome.MALFORMED, f"this is no delivery of GitHub's: {bad}") from None

    # --- before the signature is known to be good ---

    async def _verified(self, visit: _Visit, hook: ports.Hook) -> bytearray:
        """Return the body, whose signature is one by the hook's secrets."""
        sender = self._sender(visit.request)
        try:
            visit.envelope = envelope = headers.envelope(visit.request.headers)
        except Refused as refusal:
            raise (self._quotas.failed(sender, refusal) if refusal.answer.status == 401 else refusal) from None
        # An empty secret is everybody's.
        digests = [hmac.new(secret, digestmod=hashlib.sha256) for secret in hook.secrets[:LIVE_SECRETS] if secret]
        if not digests:
            raise Refused(
                503, Outcome.UNAVAILABLE, "no secret is set for this webhook", retry_after=self._limits.retry_seconds
            )
        self._check_size(visit.request)
        self._quotas.check_before_body(sender, visit.request.content_length)
        body = await self._body(visit, digests)
        # All are compared, so that the time says nothing of which one it was.
        matches = [hmac.compare_digest(digest.digest(), envelope.signature) for digest in digests]
        if not any(matches):
            body.clear()
            raise self._quotas.failed(
                sender, Refused(401, Outcome.UNSIGNED, "the signature is not one by this webhook's secret")
            )
        self._quotas.vouch(sender)
        return body

    def _sender(self, request: web.BaseRequest) -> Client:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        forwarded = request.headers.getall("X-Forwarded-For", ())
        return client(peer[0] if peer else None, forwarded, self._trusted)

    def _check_size(self, request: web.BaseRequest) -> None:
        if (request.content_length or 0) > self._limits.largest_body:
            raise self._oversized()
        expected = request.headers.get("Expect")
        if expected is not None and expected.lower() != "100-continue":
            raise Refused(417, Outcome.MALFORMED, "nothing but 100-continue can be expected")

    def _oversized(self) -> Refused:
        return Refused(413, Outcome.OVERSIZED, f"the body is larger than {self._limits.largest_body} bytes")

    async def _body(self, visit: _Visit, digests: Sequence[hmac.HMAC]) -> bytearray:
        """Read the body, and digest it piece by piece as it comes."""
        body = visit.connection.expect_body(visit.request.content_length)
        try:
            await self._read(visit, body, digests)
        except BaseException:
            # An exception keeps the frames that it came through, and a lost connection keeps its exception: what was
            # read would stay until the collector of garbage comes by, and count for nothing.
            body.clear()
            raise
        visit.connection.body_is_complete()
        return body

    async def _read(self, visit: _Visit, body: bytearray, digests: Sequence[hmac.HMAC]) -> None:
        try:
            if "Expect" in visit.request.headers:
                await self._invite(visit.request)
            async for piece in visit.request.content.iter_any():
                body += piece
                if len(body) > self._limits.largest_body:
                    raise self._oversized()
                for digest in digests:
                    digest.update(piece)
        except (ConnectionError, RuntimeError):
            # Reading from a connection that was lost is a RuntimeError there. The stream keeps the exception, and that
            # the frames it came through, the stream's own among them: a new one has none, and all of it is freed now.
            visit.request.content.set_exception(ConnectionResetError())
            raise _Gone from None
        except web.RequestPayloadError:
            visit.connection.is_broken = True
        if visit.connection.is_broken:
            raise Refused(400, Outcome.MALFORMED, "the body is not what its headers say")

    @staticmethod
    async def _invite(request: web.BaseRequest) -> None:
        """Say that the body may come."""
        await request.writer.write(_CONTINUE)
        # It was no part of the answer.
        request.writer.output_size = 0

    # --- after it ---

    async def _parsed(self, hook: ports.Hook, body: bytearray) -> Mapping[str, Any]:
        if len(body) <= self._limits.small_body:
            return await payload_of(body)
        with self._quotas.large(hook.owner):
            async with self._large:
                return await payload_of(body)

    async def _taken(self, visit: _Visit, hook: ports.Hook, payload: Mapping[str, Any]) -> Answer:
        assert visit.envelope is not None  # noqa: S101 - it was verified
        event, delivery = visit.envelope.event, visit.envelope.delivery
        with self._quotas.delivering((hook.name, subject(payload))):
            if event == PING:
                return Answer(200, Outcome.PING, "Mooring takes deliveries here")
            said = events.read(event, payload)
            if said is None:
                return Answer(200, Outcome.IGNORED, "nothing follows from events of this kind")
            try:
                async with asyncio.timeout(self._limits.take_seconds):
                    verdict = await self._receiver.take(hook, said, delivery=delivery)
            except TimeoutError:
                return self._unavailable("it could not be recorded in time: send it again later")
        return self._answer_of(verdict)

    def _answer_of(self, verdict: ports.Verdict) -> Answer:
        if verdict.status not in _STATUSES:
            log.error("the receiver answered with status %d: that is a defect", verdict.status)
            return self._unavailable("something went wrong here: send it again later")
        wait = self._limits.retry_seconds if verdict.status in {429, 503} else None
        return Answer(verdict.status, verdict.outcome, verdict.sentence, wait)

    def _unavailable(self, sentence: str) -> Answer:
        return Answer(503, Outcome.UNAVAILABLE, sentence, self._limits.retry_seconds)

    def _tell(self, visit: _Visit, answer: Answer) -> None:
        """Count a request; a delivery with a valid signature has its line in the audit record.

        One that was refused because there were too many was not taken at all: it would only fill the record.
        """
        event = visit.envelope.event if visit.envelope is not None else None
        metrics = self._gate.metrics
        metrics.answered(event, str(answer.outcome))
        if visit.hook is None or visit.envelope is None:
            return
        metrics.verified(self._gate.clock() - visit.began)
        if answer.outcome == Outcome.LIMITED:
            return
        self._audit.record(
            Action.DELIVERY_RECEIVED,
            kind="Gateway",
            namespace=self._namespace,
            name=visit.hook.name,
            delivery=visit.envelope.delivery,
            event=visit.envelope.event,
            outcome=str(answer.outcome),
        )
