"""Sends webhook deliveries as GitHub does: signed, once, within ten seconds, remembered, asked for again on request.

Deliveries of one repository to one hook go out one after the other, unless a fault reorders them. What an event says is
the business of `payloads`; who gets it, of `events`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import ssl
import time
import uuid
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
from multidict import CIMultiDict

from lab.github.faults import Double, Faults, Late, Lose, Reorder
from lab.github.model import App, Delivery, Hook
from lab.github.world import World

logger = logging.getLogger("lab.github.deliveries")

TIMEOUT = 10.0
CONCURRENT = 32
# More than this many waiting deliveries means a runaway test, not a load.
WAITING_LIMIT = 50_000
# GitHub sends no larger payload at all.
BODY_LIMIT = 25 * 2**20
KEPT_ANSWER = 64 * 1024
ENTERPRISE_VERSION = "3.19.0"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes: an App's webhook or a repository's."""

    kind: str
    id: int
    url: str
    secret: str | None
    content_type: str
    insecure_ssl: bool


def target_of(app: App | None, hook: Hook | None) -> Target | None:
    """Return where a delivery goes now; None when the hook is gone or has no address."""
    if hook is not None:
        return Target("repository", hook.id, hook.url, hook.secret, hook.content_type, hook.insecure_ssl)
    if app is None or app.webhook_url is None:
        return None
    return Target("integration", app.id, app.webhook_url, app.webhook_secret, "json", app.webhook_insecure_ssl)


def signatures(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers that prove that a body comes from whoever knows the secret."""
    return {
        "X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


@dataclass(slots=True)
class Waiting:
    """A delivery that has not been sent, and what may still become of it."""

    delivery: Delivery
    # Set when it may go out; never by itself where the control API has to say so.
    released: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False
    timer: asyncio.TimerHandle | None = None


class Deliverer:
    """The queue, the senders and the memory of attempts."""

    def __init__(self, world: World, faults: Faults, *, ca_file: Path | None = None) -> None:
        self._world = world
        self._faults = faults
        self._trust = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        self._distrust = ssl.create_default_context()
        self._distrust.check_hostname = False
        self._distrust.verify_mode = ssl.CERT_NONE
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._session: aiohttp.ClientSession | None = None
        self._lines: dict[tuple[str, int, int | None], deque[Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_back: dict[tuple[str, int, int | None], list[Waiting]] = {}
        self._sending = 0
        self._quiet = asyncio.Event()
        self.waiting: dict[int, Waiting] = {}

    async def close(self) -> None:
        """Stop sending."""
        await self.clear()
        if self._session is not None:
            await self._session.close()

    async def clear(self) -> None:
        """Forget what waits, and end what is under way."""
        for waiting in self.waiting.values():
            _stop_timer(waiting)
        self.waiting.clear()
        self._lines.clear()
        self._held_back.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._quiet.set()

    async def settled(self) -> None:
        """Wait until all that may go out has been answered; what a fault holds back is not waited for."""
        while self._lines or self._sending:
            self._quiet.clear()
            await self._quiet.wait()

    # Events come in

    def send(
        self,
        event: str,
        payload: dict[str, Any],
        *,
        app: App | None = None,
        hook: Hook | None = None,
        installation_id: int | None = None,
        repository_id: int | None = None,
    ) -> Delivery | None:
        """Queue an event for one hook, under a GUID of its own."""
        target = target_of(app, hook)
        if target is None:
            return None
        body = _encoded(payload, target.content_type)
        if len(body) > BODY_LIMIT:
            logger.error("%s is not sent to %s %d: its body has %d bytes", event, target.kind, target.id, len(body))
            return None
        guid = str(uuid.uuid1())
        delivery = Delivery(
            id=self._world.new_id(),
            guid=guid,
            event=event,
            action=payload.get("action"),
            app_id=None if app is None else app.id,
            hook_id=None if hook is None else hook.id,
            installation_id=installation_id,
            repository_id=repository_id,
            url=target.url,
            request_headers=self._headers(target, event, guid, body),
            body=body,
            created_at=self._world.clock.now(),
        )
        self._accept(delivery, target.kind)
        return delivery

    async def redeliver(self, delivery: Delivery) -> Delivery:
        """Send again as GitHub does: the same GUID and body, to where the hook points now, with its present secret."""
        target = target_of(self._world.apps.get(delivery.app_id or 0), self._world.hooks.get(delivery.hook_id or 0))
        if target is None:
            raise LookupError(f"delivery {delivery.id} can't be sent again: its hook is gone or has no address")
        again = self._another(
            delivery,
            url=target.url,
            headers=self._headers(target, delivery.event, delivery.guid, delivery.body),
            redelivery=True,
        )
        self._enqueue(Waiting(again), released=True)
        return again

    def replay(self, delivery: Delivery) -> Delivery:
        """Send the very same bytes and headers again, as somebody would who had recorded them."""
        again = self._another(delivery, url=delivery.url, headers=dict(delivery.request_headers), redelivery=False)
        self._enqueue(Waiting(again), released=True)
        return again

    def _another(self, delivery: Delivery, *, url: str, headers: dict[str, str], redelivery: bool) -> Delivery:
        return replace(
            delivery,
            id=self._world.new_id(),
            url=url,
            request_headers=headers,
            created_at=self._world.clock.now(),
            redelivery=redelivery,
            delivered_at=None,
            duration=0.0,
            status="pending",
            status_code=0,
            response_headers={},
            response_body="",
        )

    def _headers(self, target: Target, event: str, guid: str, body: bytes) -> dict[str, str]:
        media_type = "application/json" if target.content_type == "json" else "application/x-www-form-urlencoded"
        return {
            "Accept": "*/*",
            "Content-Type": media_type,
            "User-Agent": f"GitHub-Hookshot/{secrets.token_hex(4)[:7]}",
            "X-GitHub-Delivery": guid,
            "X-GitHub-Enterprise-Host": urlsplit(self._world.addresses.web).netloc,
            "X-GitHub-Enterprise-Version": ENTERPRISE_VERSION,
            "X-GitHub-Event": event,
            "X-GitHub-Hook-ID": str(target.id),
            "X-GitHub-Hook-Installation-Target-ID": str(self._target_id(target)),
            "X-GitHub-Hook-Installation-Target-Type": target.kind,
            **({} if not target.secret else signatures(target.secret, body)),
        }

    def _target_id(self, target: Target) -> int:
        """Return the App's id, or the repository's whose hook it is."""
        return target.id if target.kind == "integration" else self._world.hooks[target.id].repository_id

    # Faults and the control API

    def _accept(self, delivery: Delivery, kind: str) -> None:
        """Let the faults have their way with a fresh delivery, and queue what is left of it."""
        repository = self._world.repositories.get(delivery.repository_id or 0)
        name = "" if repository is None else self._world.full_name(repository)
        target = "app" if kind == "integration" else "repository"
        waiting, released, held = Waiting(delivery), True, False
        for fault in self._faults.for_delivery(delivery.event, name, target):
            if isinstance(fault, Lose):
                self._lost(delivery, recorded=fault.recorded)
                return
            if isinstance(fault, Double):
                self.replay(delivery)
            if isinstance(fault, Late):
                released = False
                if fault.seconds is not None:
                    self._release_after(waiting, fault.seconds)
            if isinstance(fault, Reorder):
                released, held = False, True
                self._release_after(waiting, fault.seconds)
        self._enqueue(waiting, released=released)
        if held:
            self._held_back.setdefault(_line(delivery), []).append(waiting)

    def _lost(self, delivery: Delivery, *, recorded: bool) -> None:
        if recorded:
            delivery.delivered_at = self._world.clock.now()
            delivery.status = "failed to connect to host"
            self._remember(delivery)

    def delay(self, guid: str, seconds: float) -> bool:
        """Send what waits under a GUID in so many seconds; False when nothing waits."""
        found = self._find(guid)
        for waiting in found:
            waiting.released.clear()
            self._release_after(waiting, seconds)
        return bool(found)

    def drop(self, guid: str) -> bool:
        """Never send what waits under a GUID; False when nothing waits."""
        found = self._find(guid)
        for waiting in found:
            waiting.dropped = True
            waiting.released.set()
        return bool(found)

    def _find(self, guid: str) -> list[Waiting]:
        return [waiting for waiting in self.waiting.values() if waiting.delivery.guid == guid]

    def _release_after(self, waiting: Waiting, seconds: float) -> None:
        _stop_timer(waiting)
        waiting.timer = asyncio.get_running_loop().call_later(seconds, waiting.released.set)

    # Sending

    def _enqueue(self, waiting: Waiting, *, released: bool) -> None:
        """Queue behind what goes to the same hook; what is held back waits beside the queue, not in it."""
        if len(self.waiting) >= WAITING_LIMIT:
            logger.error("%d deliveries wait; %s is not sent", WAITING_LIMIT, waiting.delivery.guid)
            return
        self.waiting[waiting.delivery.id] = waiting
        if not released:
            self._start(self._hold(waiting))
            return
        waiting.released.set()
        line = self._lines.get(_line(waiting.delivery))
        if line is not None:
            line.append(waiting)
            return
        self._lines[_line(waiting.delivery)] = deque([waiting])
        self._start(self._drain(_line(waiting.delivery)))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold(self, waiting: Waiting) -> None:
        await waiting.released.wait()
        await self._attempt(waiting)

    async def _drain(self, key: tuple[str, int, int | None]) -> None:
        line = self._lines[key]
        while line:
            waiting = line.popleft()
            await waiting.released.wait()
            await self._attempt(waiting)
            for held in self._held_back.pop(key, []):
                held.released.set()
        if self._lines.get(key) is line:
            del self._lines[key]
        self._quiet.set()

    async def _attempt(self, waiting: Waiting) -> None:
        delivery = waiting.delivery
        _stop_timer(waiting)
        self._sending += 1
        try:
            if not waiting.dropped:
                async with self._slots:
                    await self._post(delivery)
                self._remember(delivery)
            self.waiting.pop(delivery.id, None)
        finally:
            self._sending -= 1
            self._quiet.set()

    async def _post(self, delivery: Delivery) -> None:
        started = time.monotonic()
        try:
            await self._exchange(delivery)
        except TimeoutError:
            delivery.status = "timed out"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: an address that no client can call, such as one without a host.
            delivery.status = "failed to connect to host"
            logger.info("delivery %s of %s failed: %s", delivery.guid, delivery.event, type(error).__name__)
        delivery.duration = round(time.monotonic() - started, 3)
        delivery.delivered_at = self._world.clock.now()

    async def _exchange(self, delivery: Delivery) -> None:
        if self._session is None:
            # A hook must never send the lab's machine's proxies or cookies along.
            connector = aiohttp.TCPConnector(limit=CONCURRENT, force_close=True)
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=jar, trust_env=False)
        async with self._session.post(
            delivery.url,
            data=delivery.body,
            headers=CIMultiDict(delivery.request_headers),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
            allow_redirects=False,
            ssl=self._distrust if self._is_insecure(delivery) else self._trust,
            skip_auto_headers=("Accept-Encoding",),
        ) as answer:
            text = await answer.content.read(KEPT_ANSWER)
            delivery.status_code = answer.status
            delivery.status = "OK" if answer.status < 400 else f"Invalid HTTP Response: {answer.status}"
            delivery.response_headers = dict(answer.headers)
            delivery.response_body = text.decode(errors="replace")

    def _is_insecure(self, delivery: Delivery) -> bool:
        app, hook = self._world.apps.get(delivery.app_id or 0), self._world.hooks.get(delivery.hook_id or 0)
        target = target_of(app, hook)
        return target is not None and target.insecure_ssl

    def _remember(self, delivery: Delivery) -> None:
        self._world.add_delivery(delivery)
        hook = self._world.hooks.get(delivery.hook_id or 0)
        if hook is None:
            return
        if delivery.status_code:
            state = "active" if delivery.status_code < 400 else "missing" if delivery.status_code == 404 else "failed"
            hook.last_response = {"code": delivery.status_code, "status": state, "message": delivery.status}
        else:
            state = "timeout" if delivery.status == "timed out" else "connection_error"
            hook.last_response = {"code": 0, "status": state, "message": delivery.status}


def _line(delivery: Delivery) -> tuple[str, int, int | None]:
    kind, number = ("app", delivery.app_id) if delivery.app_id is not None else ("hook", delivery.hook_id)
    return kind, number or 0, delivery.repository_id


def _stop_timer(waiting: Waiting) -> None:
    if waiting.timer is not None:
        waiting.timer.cancel()
        waiting.timer = None


def _encoded(payload: dict[str, Any], content_type: str) -> bytes:
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return text.encode() if content_type == "json" else f"payload={quote_plus(text)}".encode()
