"""What is remembered of repositories' hooks, and which Projects need each: from statuses, and from this process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from mooring.domain.carriers import State, condition_in
from mooring.domain.errors import Trouble
from mooring.domain.fingerprints import fingerprint
from mooring.domain.origins import BadUrl
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.following import origin_of_host
from mooring.domain.webhooks.hooking import Noted, Place, noted_in
from mooring.ports import Object, Origin
from mooring.services.store import Key, Store

# Tokens of one hook that are known to be refused.
KEPT_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class Access:
    """A token, and the one GitHub that it is for."""

    origin: Origin
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a repository's hook stands, for one Project."""

    # As it is now: it may have got a finalizer.
    obj: Object = field(repr=False)
    hook: Noted | None
    # Why what it sends does not arrive.
    failing: str | None
    trouble: Trouble | None
    # When to look again.
    again: datetime | None


@dataclass(slots=True)
class Book:
    """What is remembered of one hook."""

    users: set[Key] = field(default_factory=set)
    hook: Noted | None = None
    # Whether this process has seen that it is ours.
    verified: bool = False
    failing: str | None = None
    # Who looked at it last, and when.
    looked: tuple[Key, datetime] | None = None
    # When its deliveries are looked at again, and after how many such looks.
    look_at: datetime | None = None
    looks: int = 0
    # Until when nothing is asked, and why; after how many failures.
    free_at: datetime | None = None
    delay: Trouble | None = None
    failures: int = 0
    # How often it was tried to remove it.
    tries: int = 0
    # Tokens that were refused, by their fingerprint, until when that holds.
    refused: OrderedDict[str, tuple[datetime, Trouble]] | None = None

    @property
    def shown(self) -> tuple[Noted | None, str | None]:
        """Return what the statuses of its Projects say of it."""
        return self.hook, self.failing

    def refusal(self, access: Access, now: datetime) -> Trouble | None:
        """Return why a token was refused, while there is no sense in another try."""
        known = self.refused.get(_name(access)) if self.refused is not None else None
        return known[1] if known is not None and now < known[0] else None

    def refuse(self, access: Access, trouble: Trouble, until: datetime) -> None:
        """Remember that a token was refused."""
        if self.refused is None:
            self.refused = OrderedDict()
        self.refused[_name(access)] = until, trouble
        while len(self.refused) > KEPT_REFUSALS:
            self.refused.popitem(last=False)

    def accept(self, access: Access) -> None:
        """Remember that a token is good."""
        if self.refused is not None:
            self.refused.pop(_name(access), None)
            self.refused = self.refused or None

    def clear(self) -> None:
        """Forget the hook: there is none any more."""
        self.hook, self.verified, self.failing = None, False, None
        self.look_at, self.looks, self.free_at, self.delay = None, 0, None, None
        self.failures = self.tries = 0


def _name(access: Access) -> str:
    return fingerprint("hooks", access.token)


class Books:
    """The books of all hooks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._books: dict[Place, Book] = {}
        self._places: dict[Key, Place] = {}
        # What a Project let go of, though its status may still speak of it.
        self._left: dict[Key, Place] = {}

    def open(self, place: Place, obj: Object) -> Book:
        """Return the book of a hook; a new one begins with what the statuses of its Projects say."""
        book = self._books.get(place)
        if book is None:
            book = self._books[place] = self._from_statuses(place, obj)
        return book

    def use(self, place: Place, key: Key) -> bool:
        """Note that a Project needs a hook; tell whether that is new to this process. Its book is open."""
        is_new = self._places.get(key) != place
        self._places[key] = place
        self._books[place].users.add(key)
        if self._left.get(key) == place:
            del self._left[key]
        return is_new

    def place_of(self, key: Key) -> Place | None:
        """Return the repository whose hook a Project uses, as far as this process has seen."""
        return self._places.get(key)

    def hook_of(self, place: Place, obj: Object) -> Noted | None:
        """Return what is known of a hook."""
        book = self._books.get(place)
        return (book if book is not None else self._from_statuses(place, obj)).hook

    def _from_statuses(self, place: Place, obj: Object) -> Book:
        best, failing = None, None
        keys = self._store.followers_of(place.namespace, place.repository_id)
        for each in (obj, *(found for key in keys if (found := self._store.get(key)) is not None)):
            told = noted_in(place.namespace, each.get("status") or {})
            if told is None or told[0] != place:
                continue
            if best is None or ((told[1].updated_at or ""), told[1].id) > ((best.updated_at or ""), best.id):
                best, failing = told[1], _failing(each)
        return Book(hook=best, failing=failing)

    def let_go(self, place: Place, key: Key) -> None:
        """Note that a Project needs a hook no more."""
        if self._places.get(key) == place:
            del self._places[key]
        self._left[key] = place
        book = self._books.get(place)
        if book is not None:
            book.users.discard(key)
            if not book.users:
                del self._books[place]

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Project that is gone."""
        place = self._places.get(key)
        if place is not None:
            self.let_go(place, key)
        self._left.pop(key, None)

    def sharing(self, place: Place) -> set[Key]:
        """Return the Projects that may have a hook in common."""
        book = self._books.get(place)
        return {*self._store.followers_of(place.namespace, place.repository_id), *(book.users if book else ())}

    def is_needed(self, place: Place, *, but: Key, default_api: str) -> bool:
        """Tell whether a living Project needs a hook."""
        for key in self.sharing(place) - {but}:
            obj = self._store.get(key)
            if obj is not None and self._left.get(key) != place and _needs(obj, place, default_api):
                return True
        return False

    def count(self, state: State) -> int:
        """Count the hooks that stand so."""
        return sum(_state(book) is state for book in self._books.values())


def _state(book: Book) -> State:
    if book.hook is None:
        return State.MISSING
    return State.FAILING if book.failing is not None else State.ACTIVE


def _failing(obj: Object) -> str | None:
    """Return what a status says of deliveries that fail."""
    found = condition_in(obj.get("status") or {})
    return found.message if found is not None and found.reason is Reason.WEBHOOK_FAILING else None


def _needs(obj: Object, place: Place, default_api: str) -> bool:
    """Tell whether a Project needs a hook: by its spec, and by the repository that was found for it."""
    spec = obj.get("spec") or {}
    github = (spec.get("source") or {}).get("github")
    if obj["metadata"].get("deletionTimestamp") or spec.get("installationRef") or not github:
        return False
    try:
        return origin_of_host(github.get("host"), default_api) == place.api_url
    except BadUrl:
        return False
