"""One process leads at a time: it stands by until the Lease is its own, renews it, and says when it has lost it.

What may be done when is decided in `domain.leadership`. Whatever changes something outside asks `permit` at the last
moment before it leaves this process.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mooring.domain.errors import Trouble
from mooring.domain.leadership import TERMS, Lease, NotLeading, Standing, Tenure, Terms, transitions
from mooring.ports import Changed, Leases

log = logging.getLogger(__name__)

# Seconds between two looks at a Lease that cannot be read or written: the first wait and the longest.
FIRST_LOOK, LAST_LOOK = 0.5, 5.0
# Looks at what the Lease is when it shall be released: our own last renewal may come between.
RELEASE_ROUNDS = 3

Wait = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, and not longer than so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


class Election:
    """This process's part in the election. One for a process."""

    def __init__(
        self,
        leases: Leases,
        identity: str,
        clock: Callable[[], float],
        *,
        terms: Terms = TERMS,
        waiting: Wait = wait,
    ) -> None:
        """Take a clock that counts seconds, and goes on while the process is stopped."""
        self.identity = identity
        # Why this process does not lead any more.
        self.lost: str | None = None
        self._leases = leases
        self._clock = clock
        self._terms = terms
        self._wait = waiting
        self._standing = Standing(None, clock())
        self._tenure: Tenure | None = None
        self._leader: str | None = None
        self._trouble: str | None = "not looked at yet"
        # How often in a row a write onto a Lease that seemed free was refused.
        self._beaten = 0
        # The Lease may be ours: it was asked for, whatever the answer.
        self._asked = False
        self._won_at: float | None = None

    # --- what others ask ---

    @property
    def leads(self) -> bool:
        """Tell whether nobody else can lead."""
        return self._tenure is not None and self._tenure.is_certain(self._clock(), self._terms)

    def permit(self) -> None:
        """Raise NotLeading unless this process leads beyond doubt."""
        if not self.leads:
            raise NotLeading

    @property
    def has_won(self) -> bool:
        """Tell whether this process has become the leader, whatever came afterwards."""
        return self._won_at is not None

    def took_over_within(self, seconds: float) -> bool:
        """Tell whether this process stood by until a moment ago."""
        return self._won_at is not None and self._leader is not None and self._clock() < self._won_at + seconds

    def has_no_part(self) -> str | None:
        """Say why this process neither leads nor stands by; None where it does."""
        if self.has_won:
            return None
        return self._trouble or (None if self._leader is not None else "nobody leads yet")

    # --- standing by ---

    async def win(self) -> None:
        """Return when this process leads."""
        news = asyncio.Event()

        def saw(lease: Lease | None) -> None:
            self._note(lease)
            news.set()

        following: asyncio.Task[None] | None = None
        try:
            while not await self._try():
                # Only who has to wait looks at every change.
                following = following or asyncio.create_task(self._leases.follow(saw), name="follow the Lease")
                await self._until_free(news)
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _until_free(self, news: asyncio.Event) -> None:
        if self._beaten > 1:
            # Again and again, and nobody is seen to hold it: no sign of a faster one, and no reason to hurry.
            await self._wait(asyncio.Event(), self._terms.retry_every * random.uniform(0.5, 1.0))  # noqa: S311 - as below
        failures = 0
        while self._trouble is not None:
            ceiling = min(FIRST_LOOK * 2**failures, LAST_LOOK)
            await self._wait(asyncio.Event(), ceiling * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
            failures = min(failures + 1, 16)
            await self._look()
        while (seconds := self._standing.free_at(self.identity, self._terms) - self._clock()) > 0:
            news.clear()
            await self._wait(news, seconds)

    async def _look(self) -> bool:
        """Read the Lease; tell whether that went well."""
        try:
            found = await self._leases.read(seconds=self._terms.attempt)
        except Trouble as trouble:
            self._note_trouble(trouble)
            return False
        self._trouble = None
        self._note(found)
        return True

    async def _try(self) -> bool:
        """Take the Lease where it is free as it is now, which a watch may not have told."""
        if not await self._look():
            return False
        before, asked = self._standing.lease, self._clock()
        if self._standing.free_at(self.identity, self._terms) > asked:
            return False
        self._asked = True
        try:
            held = await self._take(before)
        except Changed:
            # Another one was faster: its write is the next thing to be seen.
            self._beaten += 1
            await self._look()
            return False
        except Trouble as trouble:
            self._note_trouble(trouble)
            return False
        self._won_at, self._tenure = asked, Tenure(held, asked)
        log.info("leads now as %s: %s", self.identity, _how(before))
        return True

    async def _take(self, before: Lease | None) -> Lease:
        return await self._leases.take(
            before,
            self.identity,
            self._terms.lease,
            transitions(before, self.identity),
            seconds=self._terms.attempt,
        )

    def _note(self, lease: Lease | None) -> None:
        before = self._standing.lease
        self._standing = self._standing.seen(lease, self._clock())
        if (before and before.version) != (lease and lease.version):
            # Somebody wrote indeed.
            self._beaten = 0
        holder = lease.holder if lease is not None else ""
        if holder and holder not in {self._leader, self.identity}:
            self._leader = holder
            log.info("stands by as %s: %s leads", self.identity, holder)

    def _note_trouble(self, trouble: Trouble) -> None:
        if self._trouble != trouble.message:
            log.warning("%s: %s", self._leases, trouble.message)
        self._trouble = trouble.message

    # --- leading ---

    async def keep(self, on_lost: Callable[[], None]) -> None:
        """Renew the Lease until it is lost, and say so."""
        self.lost = await self._renew_until_lost()
        self._tenure = None
        log.error("%s is lost: %s. This process writes nothing more and ends.", self._leases, self.lost)
        on_lost()

    async def _renew_until_lost(self) -> str:
        never = asyncio.Event()
        pause, conflicts = self._terms.renew_every, 0
        while True:
            await self._wait(never, pause)
            if self._tenure is None:
                return "it was released"
            asked = self._clock()
            left = self._tenure.left(asked, self._terms)
            if left <= 0:
                told = f" ({self._trouble.removesuffix(' It is tried again.')})" if self._trouble else ""
                return f"it was not renewed for {asked - self._tenure.renewed:.0f} s{told}"
            seconds = min(self._terms.attempt, left)
            try:
                held = await self._leases.renew(self._tenure.lease, seconds=seconds)
            except Changed:
                rival = await self._look_again(seconds)
                if rival is not None:
                    return f"{rival} leads"
                # Somebody wrote something else onto it: once more at once, and after that in no hurry.
                conflicts += 1
                pause = 0.0 if conflicts == 1 and self._trouble is None else self._terms.retry_every
                continue
            except Trouble as trouble:
                self._note_trouble(trouble)
                left = self._tenure.left(self._clock(), self._terms)
                pause = max(0.0, min(self._terms.retry_every, left))
                continue
            conflicts = 0
            if self._trouble is not None:
                log.info("%s is renewed again", self._leases)
            self._trouble, self._tenure = None, Tenure(held, asked)
            pause = self._terms.renew_every

    async def _look_again(self, seconds: float) -> str | None:
        """Find out why the Lease is not as it was; return who leads in our place.

        It is still ours where an answer of before got lost, or where somebody wrote something else on it. One that was
        deleted is made anew, which only one can do.
        """
        if self._tenure is None:
            return "nobody"
        self._trouble = None
        try:
            found, asked = await self._leases.read(seconds=seconds), self._clock()
            if found is None:
                log.warning("%s was deleted: it is made anew", self._leases)
                self._tenure = Tenure(await self._take(None), asked)
            elif found.holder == self.identity:
                self._tenure = replace(self._tenure, lease=found)
            else:
                return found.holder or "nobody"
        except Changed:
            self._trouble = "somebody else has made it"
        except Trouble as trouble:
            self._note_trouble(trouble)
        return None

    # --- the end ---

    async def end(self) -> None:
        """Release the Lease, once everything that needs it has ended; not one that was lost."""
        tenure, self._tenure = self._tenure, None
        if self.lost is not None or not (self._asked or tenure is not None):
            return
        try:
            async with asyncio.timeout(self._terms.attempt):
                await self._release()
        except (Trouble, TimeoutError) as problem:
            told = problem.message if isinstance(problem, Trouble) else "the API server does not answer"
            log.warning("%s could not be released, so others wait for its end: %s", self._leases, told)

    async def _release(self) -> None:
        for _ in range(RELEASE_ROUNDS):
            held = await self._leases.read(seconds=self._terms.attempt)
            if held is None or held.holder != self.identity:
                return
            try:
                await self._leases.release(held, seconds=self._terms.attempt)
            except Changed:
                continue
            log.info("%s is released", self._leases)
            return


def _how(before: Lease | None) -> str:
    if before is None:
        return "there was no Lease"
    return f"{before.holder} did not renew its Lease" if before.holder else "the Lease was free"
