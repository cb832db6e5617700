"""One delivery: what is looked at in which order, and what it is answered.

Path and method, headers, size, signature, JSON: each comes before all that costs more. Until the signature is verified
nothing is parsed, nothing is looked up, and nothing is held but the body. All of it happens at once, in the turn in
which the last byte came; only what has to be stored, or is large, is waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from mooring import ports
from mooring.domain.audit import Action
from mooring.domain.webhooks import events, parsing
from mooring.domain.webhooks.keys import LIVE_SECRETS
from mooring.gateway import headers
from mooring.gateway.addresses import Client, Network, client
from mooring.gateway.answers import Answer, Refused
from mooring.gateway.limits import Limits
from mooring.gateway.payloads import AT_ONCE, payload_of, subject
from mooring.gateway.quotas import Quotas
from mooring.gateway.request import Request
from mooring.observability.gateway_metrics import GatewayMetrics, Outcome

log = logging.getLogger(__name__)

PING = "ping"
# What a receiver may answer; anything else is a defect of it.
_STATUSES = frozenset({200, 202, 429, 503})
# Senders that are known again.
_REMEMBERED = 1024
# Of what proxies say of them the end counts: more than the hops that are looked at.
_LONGEST_CHAIN = 2048
_FORWARDED, _EXPECT = b"x-forwarded-for", b"expect"


class Deliveries:
    """Answers all requests."""

    def __init__(
        self,
        limits: Limits,
        receiver: ports.Receiver,
        audit: ports.Audit,
        metrics: GatewayMetrics,
        quotas: Quotas,
        *,
        namespace: str,
        trusted_proxies: Sequence[Network],
    ) -> None:
        self._limits = limits
        self._receiver = receiver
        self._audit = audit
        self._metrics = metrics
        self._quotas = quotas
        self._namespace = namespace
        # To find out who sends takes longer than to verify what they sent, and GitHub has few addresses.
        self._sender = lru_cache(_REMEMBERED)(partial(_sender, trusted=tuple(trusted_proxies)))
        # Which of several live secrets is in use, by the name of the hook, where it is not the newest.
        self._usual: dict[str, int] = {}
        # Large bodies become many objects: one at a time.
        self._large = asyncio.Lock()

    # --- what a connection calls, one after the other; none of it raises ---

    def look(self, request: Request, peer: str) -> None:
        """Look at the headers; note what the request is answered where its body need not be read."""
        request.is_looked_at = True
        try:
            self._look(request, peer)
        except Exception as problem:  # noqa: BLE001 - each is an answer, and a defect is logged
            request.refuse(self._answer_to(problem))

    def serve(self, request: Request, peer: str) -> Answer | Awaitable[Answer]:
        """Answer a request that is complete, or say what to wait for."""
        try:
            self._verify(request, self._who(request, peer))
            assert request.hook is not None  # noqa: S101 - it was looked up first
            request.places.append(self._quotas.owned(request.hook.owner))
            if len(request.body) > AT_ONCE:
                return self._serve_large(request)
            payload = parsing.parse(bytes(request.body))
            request.let_go()
            return self._decide(request, payload)
        except Exception as problem:  # noqa: BLE001 - each is an answer, and a defect is logged
            return self._answer_to(problem)

    def oversized(self) -> Answer:
        """Return what a body is answered that is too long."""
        return Answer(413, Outcome.OVERSIZED, f"the body is larger than {self._limits.largest_body} bytes")

    def tell(self, request: Request, outcome: Outcome | str, now: float) -> None:
        """Count a request that is done; a delivery with a valid signature has its line in the audit record.

        One that was refused because there were too many was not taken at all: it would only fill the record.
        """
        envelope, hook = request.envelope, request.hook
        self._metrics.answered(envelope.event if envelope is not None else None, str(outcome))
        if not request.is_verified or envelope is None or hook is None:
            return
        self._metrics.verified(now - request.began)
        if outcome == Outcome.LIMITED:
            return
        self._audit.record(
            Action.DELIVERY_RECEIVED,
            kind="Gateway",
            namespace=self._namespace,
            name=hook.name,
            delivery=envelope.delivery,
            event=envelope.event,
            outcome=str(outcome),
        )

    # --- before the signature is known to be good ---

    def _who(self, request: Request, peer: str) -> Client:
        forwarded = request.head.fields.get(_FORWARDED)
        return self._sender(peer, None if forwarded is None else forwarded[-_LONGEST_CHAIN:])

    def _look(self, request: Request, peer: str) -> None:
        path_id = headers.path_id(request.head)
        if missing := self._receiver.not_ready():
            log.debug("a delivery came too early: %s", missing)
            raise Refused(503, Outcome.UNAVAILABLE, "Mooring is not ready yet: send it again later", **self._later)
        request.hook = self._receiver.hook(path_id)
        if request.hook is None:
            raise headers.not_here()
        sender = self._who(request, peer)
        try:
            request.envelope = headers.envelope(request.head)
        except Refused as refusal:
            raise (self._quotas.failed(sender, refusal) if refusal.answer.status == 401 else refusal) from None
        request.secrets = _live(request.hook)
        if not request.secrets:
            raise Refused(503, Outcome.UNAVAILABLE, "no secret is set for this webhook", **self._later)
        self._check_size(request)
        self._quotas.check_before_body(sender, request.head.length)
        if request.head.length is None or request.head.length > self._limits.always_read:
            # Digested piece by piece as it comes: all at once would hold others up.
            request.digests = [hmac.new(secret, request.body, hashlib.sha256) for secret in request.secrets]

    def _check_size(self, request: Request) -> None:
        if (request.head.length or 0) > self._limits.largest_body or request.came > self._limits.largest_body:
            answer = self.oversized()
            raise Refused(answer.status, Outcome.OVERSIZED, answer.sentence)
        expected = request.head.fields.get(_EXPECT)
        if expected is not None and expected.lower() != b"100-continue":
            raise Refused(417, Outcome.MALFORMED, "nothing but 100-continue can be expected")

    def _verify(self, request: Request, sender: Client) -> None:
        """Compare the signature with one by each secret, that first which the last good one was made with.

        The time says nothing of how much of a wrong one was right, and nothing at all to whoever has no live secret.
        """
        assert request.hook is not None  # noqa: S101 - it was looked up first
        assert request.envelope is not None  # noqa: S101 - as well
        if not self._is_signed(request, request.hook, request.envelope.signature):
            request.let_go()
            raise self._quotas.failed(
                sender, Refused(401, Outcome.UNSIGNED, "the signature is not one by this webhook's secret")
            )
        request.is_verified = True
        self._quotas.vouch(sender)

    def _is_signed(self, request: Request, hook: ports.Hook, signature: bytes) -> bool:
        usual = self._usual.get(hook.name, 0)
        if usual < len(request.secrets) and _signs(request, usual, signature):
            return True
        for number in range(len(request.secrets)):
            if number != usual and _signs(request, number, signature):
                if number:
                    self._usual[hook.name] = number
                else:
                    self._usual.pop(hook.name, None)
                return True
        return False

    # --- after it ---

    async def _serve_large(self, request: Request) -> Answer:
        try:
            payload = await self._parsed(request)
            request.let_go()
            found = self._decide(request, payload)
            return found if isinstance(found, Answer) else await found
        except Exception as problem:  # noqa: BLE001 - each is an answer, and a defect is logged
            return self._answer_to(problem)

    async def _parsed(self, request: Request) -> Mapping[str, Any]:
        assert request.hook is not None  # noqa: S101 - it was verified
        if len(request.body) <= self._limits.small_body:
            return await payload_of(request.body)
        place = self._quotas.large(request.hook.owner)
        try:
            async with self._large:
                return await payload_of(request.body)
        finally:
            place.leave()

    def _decide(self, request: Request, payload: Mapping[str, Any]) -> Answer | Awaitable[Answer]:
        hook, envelope = request.hook, request.envelope
        assert hook is not None  # noqa: S101 - it was verified
        assert envelope is not None  # noqa: S101 - as well
        request.places.append(self._quotas.delivering((hook.name, subject(payload))))
        if envelope.event == PING:
            return Answer(200, Outcome.PING, "Mooring takes deliveries here")
        said = events.read(envelope.event, payload)
        if said is None:
            return Answer(200, Outcome.IGNORED, "nothing follows from events of this kind")
        verdict = self._receiver.take(hook, said, delivery=envelope.delivery)
        return self._answer_of(verdict) if isinstance(verdict, ports.Verdict) else self._recorded(verdict)

    async def _recorded(self, verdict: Awaitable[ports.Verdict]) -> Answer:
        try:
            async with asyncio.timeout(self._limits.take_seconds):
                return self._answer_of(await verdict)
        except TimeoutError:
            return self._unavailable("it could not be recorded in time: send it again later")
        except Exception as problem:  # noqa: BLE001 - each is an answer, and a defect is logged
            return self._answer_to(problem)

    # --- what is answered ---

    def _answer_of(self, verdict: ports.Verdict) -> Answer:
        if verdict.status not in _STATUSES:
            log.error("the receiver answered with status %d: that is a defect", verdict.status)
            return self._unavailable("something went wrong here: send it again later")
        wait = self._limits.retry_seconds if verdict.status in {429, 503} else None
        return Answer(verdict.status, verdict.outcome, verdict.sentence, wait)

    def _answer_to(self, problem: Exception) -> Answer:
        if isinstance(problem, Refused):
            return problem.answer
        if isinstance(problem, events.BadPayload):
            return Answer(400, Outcome.MALFORMED, f"this is no delivery of GitHub's: {problem}")
        log.error("a delivery could not be answered", exc_info=problem)
        return self._unavailable("something went wrong here: send it again later")

    def _unavailable(self, sentence: str) -> Answer:
        return Answer(503, Outcome.UNAVAILABLE, sentence, self._limits.retry_seconds)

    @property
    def _later(self) -> dict[str, float]:
        return {"retry_after": self._limits.retry_seconds}


def _sender(peer: str, forwarded: bytes | None, *, trusted: Sequence[Network]) -> Client:
    return client(peer, () if forwarded is None else (forwarded.decode("latin-1"),), trusted)


def _signs(request: Request, number: int, signature: bytes) -> bool:
    """Tell whether a signature is one by a live secret, which is known by its place."""
    if request.digests:
        made = request.digests[number].digest()
    else:
        made = hmac.digest(request.secrets[number], request.body, "sha256")
    return hmac.compare_digest(made, signature)


def _live(hook: ports.Hook) -> list[bytes]:
    """Return the secrets that count. An empty one is everybody's."""
    return [secret for secret in hook.secrets[:LIVE_SECRETS] if secret]
