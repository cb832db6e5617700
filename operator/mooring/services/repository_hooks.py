"""Webhooks of repositories: one for each namespace and repository, made, put right and removed where Projects need it.

The Projects' statuses are the memory: a restart asks nothing. They authorize nothing: before a hook that only a status
names is changed or removed, GitHub is asked for it, and its address has to be ours. Where the memory was lost, the
address finds it again, since nobody else can know it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mooring.domain.audit import Action
from mooring.domain.carriers import State, condition_in
from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.hooking import (
    PATH,
    REPEATED_WITHIN,
    HookWish,
    Noted,
    Place,
    RepositoryHook,
    has_failed,
    is_ours,
    ours,
    to_repeat,
    wrongs,
)
from mooring.domain.webhooks.keys import hook_path_id, hook_secret
from mooring.ports import Object
from mooring.services import hook_holds
from mooring.services.hook_books import Access, Book, Books, Standing
from mooring.services.platform import Platform
from mooring.services.store import Key, key_of

# Seconds that a Project's status waits for GitHub; what is not done then is done by a later run.
PATIENCE = 15.0
# Delay after the first failure, and its ceiling, in seconds; doubled each time, then spread by jitter.
FIRST_DELAY, LAST_DELAY = 1.0, 300.0
# The same between two looks at a hook whose deliveries fail: longer, since each look has some sent again.
FIRST_LOOK, LAST_LOOK = 60.0, 3600.0
# A token that was refused is tried once more after so many intervals of the sweep: as seldom as hooks are looked at.
RETRY_EVERY = 6
# Troubles that a status is believed about for a while.
_REFUSED = frozenset({Reason.HOOKS_FORBIDDEN, Reason.HOOK_LIMIT})
# How often it is tried to remove a hook that a living Project needs no more, while GitHub is away.
MOST_TRIES = 10


@dataclass(slots=True)
class _Run:
    """What is known while one Project has its hook put right."""

    obj: Object
    place: Place
    book: Book
    access: Access
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        self.key = key_of(self.obj)


class RepositoryHooks:
    """The hooks of all repositories."""

    def __init__(
        self,
        platform: Platform,
        ask: Callable[[Key, float], None],
        spread: Callable[[], float] = random.random,
        *,
        repeated: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what asks a Project to run; `repeated` is called for each delivery that was asked for again."""
        self._platform = platform
        self._ask = ask
        self._spread = spread
        self._repeated = repeated
        self._books = Books(platform.store)
        # Projects whose next run is to look at the hook.
        self._marked: set[Key] = set()
        self._lines: dict[Place, tuple[asyncio.Lock, list[None]]] = {}

    # --- what others ask ---

    def look(self, key: Key) -> None:
        """Have the hook of a Project looked at with its next run, which is asked for."""
        self._marked.add(key)
        self._ask(key, 0.0)

    def renew(self, version: int) -> None:
        """Ask the Projects whose hooks have a secret of an older version."""
        for key in self._platform.store:
            told = ((self._platform.store.get(key) or {}).get("status") or {}).get("webhook") or {}
            if (told.get("secretVersion") or version) < version:
                self._ask(key, 0.0)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        self._marked.discard(key)
        self._books.forget(key)

    def count(self, state: State) -> int:
        """Count the hooks that stand so, for the metric."""
        return self._books.count(state)

    def used_by(self, key: Key) -> Place | None:
        """Return the repository whose hook a Project was given by this process."""
        return self._books.place_of(key)

    def is_needed(self, place: Place, *, but: Key) -> bool:
        """Tell whether another living Project needs the hook."""
        return self._books.is_needed(place, but=but, default_api=self._platform.api_url)

    # --- keeping one ---

    async def keep(self, obj: Object, place: Place, access: Access | Trouble) -> Standing:
        """Put the hook right that a Project needs; raises Changed where the Project has to be observed again."""
        key = key_of(obj)
        async with self._alone(place):
            book = self._books.open(place, obj)
            is_new, before = self._books.use(place, key), book.shown
            run = _Run(obj, place, book, access) if isinstance(access, Access) else None
            try:
                if run is None:
                    trouble = access if isinstance(access, Trouble) else None
                else:
                    if is_new:
                        self._remember_refusal(run)
                    trouble = self._in_the_way(run) or await self._work(run)
                    obj = run.obj
                if book.hook is not None:
                    obj = await hook_holds.hold(self._platform, obj)
            finally:
                if book.shown != before:
                    self._tell(place, but=key)
            return self._standing(obj, book, trouble)

    def _remember_refusal(self, run: _Run) -> None:
        """Believe a status that a token was refused, for a while: a restart asks nothing."""
        found = condition_in(run.obj.get("status") or {})
        if run.book.hook is None and found is not None and found.reason in _REFUSED:
            until = self._platform.clock.now() + self._platform.sweep_interval
            run.book.refuse(run.access, Stalled(found.reason, found.message), until)

    def _in_the_way(self, run: _Run) -> Trouble | None:
        """Return the trouble from before, while it is too soon to try again."""
        book, now = run.book, self._platform.clock.now()
        if (refused := book.refusal(run.access, now)) is not None:
            self._marked.discard(run.key)
            return refused
        return book.delay if book.free_at is not None and book.free_at > now else None

    async def _work(self, run: _Run) -> Trouble | None:
        """Do what is to be done; return what kept it from being done."""
        book, now = run.book, self._platform.clock.now()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._put_right(run)
        except TimeoutError:
            trouble: Trouble = Transient(
                Reason.GITHUB_UNAVAILABLE, "GitHub did not answer about the repository's webhook. It is asked again."
            )
        except Trouble as found:
            trouble = found
        else:
            book.failures, book.free_at, book.delay = 0, None, None
            book.accept(run.access)
            return None
        if isinstance(trouble, Stalled):
            # Until then nothing is asked with this token; another one is tried at once.
            book.refuse(run.access, trouble, now + self._platform.sweep_interval)
            self._marked.discard(run.key)
            return trouble
        book.delay = trouble
        book.free_at = trouble.until if isinstance(trouble, Waiting) else now + self._growing(book.failures)
        book.failures += 1
        return trouble

    def _growing(self, failures: int, first: float = FIRST_DELAY, last: float = LAST_DELAY) -> timedelta:
        return timedelta(seconds=min(first * 2 ** min(failures, 16), last) * (0.5 + self._spread() / 2))

    async def _put_right(self, run: _Run) -> None:
        book, now = run.book, self._platform.clock.now()
        due = self._is_asked_for(run.key, book) or (book.look_at is not None and book.look_at <= now)
        # What is asked for while GitHub is being asked is another look.
        was_marked, is_done = run.key in self._marked, False
        self._marked.discard(run.key)
        try:
            if book.hook is None:
                await self._find_or_make(run)
            elif due or (self._is_outdated(book.hook) and not book.verified):
                await self._look(run, book.hook)
            elif self._is_outdated(book.hook):
                await self._change(run, book.hook)
            is_done = True
        finally:
            if was_marked and not is_done:
                self._marked.add(run.key)

    def _is_asked_for(self, key: Key, book: Book) -> bool:
        """Tell whether a look was asked for; one for each hook will do, however many Projects share it."""
        if key not in self._marked:
            return False
        last = book.looked
        recent = last is not None and self._platform.clock.now() - last[1] < self._platform.sweep_interval
        return last is None or last[0] == key or not recent

    def _is_outdated(self, hook: Noted) -> bool:
        """Tell whether a hook's secret is to be derived from a newer key, or its key is gone.

        After a restart an older version is used for a while: one that is newer than that stays.
        """
        keys, version = self._platform.webhook_keys, self._platform.hook_version
        if keys is None or version is None:
            return False
        return hook.version < version or hook.version not in keys.hook_keys

    async def _find_or_make(self, run: _Run) -> None:
        access, place = run.access, run.place
        listed = await self._platform.webhooks.hooks(
            access.origin, access.token, place.repository_id, namespace=place.namespace
        )
        found = ours(listed, self._path_id(place))
        if found is None:
            await self._make(run)
        else:
            # Its secret may be of any key: whoever made it did not come to say so.
            await self._change(run, Noted(found.id, 0, None))

    async def _make(self, run: _Run) -> None:
        access, place = run.access, run.place
        version, wish = self._wish(place)
        run.obj = await hook_holds.hold(self._platform, run.obj)
        made = await self._platform.webhooks.make_hook(
            access.origin, access.token, place.repository_id, wish, namespace=place.namespace
        )
        self._note(run, made, version, Action.HOOK_MADE)

    async def _change(self, run: _Run, hook: Noted) -> None:
        access, place = run.access, run.place
        version, wish = self._wish(place)
        run.obj = await hook_holds.hold(self._platform, run.obj)
        changed = await self._platform.webhooks.change_hook(
            access.origin, access.token, place.repository_id, hook.id, wish, namespace=place.namespace
        )
        if changed is None:
            run.book.hook, run.book.verified = None, False
            await self._find_or_make(run)
        else:
            self._note(run, changed, version, Action.HOOK_CHANGED)

    async def _look(self, run: _Run, hook: Noted) -> None:
        """See that a hook is as it should be, and that what it sends arrives."""
        access, place, book = run.access, run.place, run.book
        found = await self._platform.webhooks.hook(
            access.origin, access.token, place.repository_id, hook.id, namespace=place.namespace
        )
        if found is None or not is_ours(found, self._path_id(place)):
            known, book.hook, book.verified = book.verified, None, False
            # Where this process has seen ours and it is gone, there is no other one; else it may have another id.
            await (self._make(run) if found is None and known else self._find_or_make(run))
            return
        book.verified, book.looked = True, (run.key, self._platform.clock.now())
        bad = wrongs(found, self._wish(place)[1], hook)
        # A signature that was refused: somebody changed the secret, in the very second of our own change.
        if bad or self._is_outdated(hook) or found.last_status == 401:
            await self._change(run, hook)
        if book.hook is not None and book.hook.id == found.id:
            await self._follow_up(run, found)

    async def _follow_up(self, run: _Run, found: RepositoryHook) -> None:
        """Have deliveries sent again that did not arrive."""
        book, now = run.book, self._platform.clock.now()
        if not has_failed(found):
            book.failing, book.look_at, book.looks = None, None, 0
            return
        answered = f"answered with {found.last_status}" if found.last_status else "not answered"
        book.failing = (
            f"The last delivery of webhook {found.id} was {answered}. What did not arrive is asked for again;"
            " see the webhook's deliveries at GitHub. Until then the sweep finds pushes."
        )
        book.look_at = now + self._growing(book.looks, FIRST_LOOK, LAST_LOOK)
        book.looks += 1
        access, place, api = run.access, run.place, self._platform.webhooks
        where = (access.origin, access.token, place.repository_id, found.id)
        since = self._platform.github.time_at(access.origin) - REPEATED_WITHIN
        for attempt in to_repeat(await api.hook_attempts(*where, since=since, namespace=place.namespace)):
            await api.repeat_hook_delivery(*where, attempt.id, namespace=place.namespace)
            self._record(Action.DELIVERY_REPEATED, run.key, place, found.id, delivery=attempt.guid, event=attempt.event)
            self._repeated()

    def _wish(self, place: Place) -> tuple[int, HookWish]:
        """Return how the hook should be, and the version of the key that its secret is derived from."""
        platform = self._platform
        base, keys, version = platform.public_base_url, platform.webhook_keys, platform.hook_version
        if base is None or keys is None or version is None:
            raise Transient(Reason.CLUSTER_UNAVAILABLE, "The keys of webhooks are not there yet. Tried again.")
        secret = hook_secret(
            keys.hook_keys[version],
            origin=place.api_url,
            repository_id=place.repository_id,
            namespace=place.namespace,
        )
        return version, HookWish(f"{base}{PATH}/{self._path_id(place)}", secret)

    def _path_id(self, place: Place) -> str:
        keys = self._platform.webhook_keys
        if keys is None:
            raise Transient(Reason.CLUSTER_UNAVAILABLE, "The keys of webhooks are not there yet. Tried again.")
        return hook_path_id(keys, origin=place.api_url, repository_id=place.repository_id, namespace=place.namespace)

    def _note(self, run: _Run, hook: RepositoryHook, version: int, action: Action) -> None:
        run.book.hook = Noted(hook.id, version, timestamp(hook.updated_at))
        run.book.verified = True
        self._record(action, run.key, run.place, hook.id)

    def _record(self, action: Action, key: Key, place: Place, hook: int | None, **more: str) -> None:
        facts: dict[str, str | int | None] = {"hook": hook, "repository": place.repository_id, **more}
        self._platform.audit.record(action, kind=key.kind, namespace=key.namespace, name=key.name, **facts)

    def _standing(self, obj: Object, book: Book, trouble: Trouble | None) -> Standing:
        delay = book.free_at if trouble is not None and not isinstance(trouble, Stalled) else None
        refused = book.hook is None and isinstance(trouble, Stalled)
        # A right that is given to the token at GitHub is seen by asking alone.
        retry = RETRY_EVERY * self._platform.sweep_interval * (0.8 + self._spread() / 5)
        again = [at for at in (delay, book.look_at) if at is not None]
        if refused:
            again.append(self._platform.clock.now() + retry)
        keys = self._platform.webhook_keys
        dead = book.hook is not None and keys is not None and book.hook.version not in keys.hook_keys
        if dead and trouble is not None:
            # Nothing that it sends is believed any more, and it cannot be given another secret now.
            return Standing(obj, book.hook, trouble.message, trouble, min(again, default=None))
        return Standing(obj, book.hook, book.failing, trouble, min(again, default=None))

    def _tell(self, place: Place, *, but: Key) -> None:
        """Ask the other Projects that share a hook, so that their status follows."""
        for key in self._books.sharing(place) - {but}:
            self._ask(key, 0.0)

    # --- letting go of one ---

    async def release(
        self, obj: Object, place: Place, find: Callable[[], Awaitable[Access | Trouble]]
    ) -> Trouble | None:
        """Remove a hook that a Project needs no more, unless another one does; return what is in the way.

        Who gets no trouble, or gives up on it with `leave`, is no user of the hook any more. `find` is called for the
        token where one is needed.
        """
        key = key_of(obj)
        async with self._alone(place):
            book = self._books.open(place, obj)
            if self.is_needed(place, but=key):
                self._books.let_go(place, key)
                return None
            try:
                async with asyncio.timeout(PATIENCE):
                    access = await find()
                    if isinstance(access, Trouble):
                        return access
                    removed = await self._remove(place, book.hook, access)
            except TimeoutError:
                return Transient(
                    Reason.GITHUB_UNAVAILABLE, "GitHub did not remove a webhook in time. It is asked again."
                )
            except Trouble as trouble:
                return trouble
            if removed is not None:
                self._record(Action.HOOK_REMOVED, key, place, removed)
            book.clear()
            self._books.let_go(place, key)
            return None

    async def _remove(self, place: Place, hook: Noted | None, access: Access) -> int | None:
        """Remove what is ours; return its id."""
        api, path_id = self._platform.webhooks, self._path_id(place)
        where = (access.origin, access.token, place.repository_id)
        if hook is not None:
            found = await api.hook(*where, hook.id, namespace=place.namespace)
            if found is not None and not is_ours(found, path_id):
                found = None
        else:
            found = ours(await api.hooks(*where, namespace=place.namespace), path_id)
        if found is None:
            return None
        await api.remove_hook(*where, found.id, namespace=place.namespace)
        return found.id

    def leave(self, obj: Object, place: Place, trouble: Trouble) -> int | None:
        """Give up on a hook that could not be removed: it stays at GitHub. Return its id, None where there is none."""
        key = key_of(obj)
        hook = self._books.hook_of(place, obj)
        if hook is not None:
            self._record(Action.HOOK_LEFT, key, place, hook.id, reason=trouble.reason.value)
        self._books.let_go(place, key)
        return hook.id if hook is not None else None

    def again_after(self, obj: Object, place: Place, trouble: Trouble) -> datetime | None:
        """Say when to try again to remove the hook that a living Project needs no more; None: not any more."""
        if isinstance(trouble, Stalled):
            return None
        book = self._books.open(place, obj)
        book.tries += 1
        if book.tries > MOST_TRIES:
            return None
        if isinstance(trouble, Waiting):
            return trouble.until
        return self._platform.clock.now() + self._growing(book.tries - 1)

    @asynccontextmanager
    async def _alone(self, place: Place) -> AsyncIterator[None]:
        """Let one run at a time see to a hook: a thousand Projects of one repository have one made."""
        lock, waiting = self._lines.setdefault(place, (asyncio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                yield
        finally:
            waiting.pop()
            if not waiting:
                self._lines.pop(place, None)
