"""Sweeps: what Projects follow is looked at now and then, so that no push is lost whose webhook never came (D6).

One list tells of a hundred repositories when they were last pushed to. Where that was after a branch was read, git is
asked for its tip, which counts against no quota: most pushes are to other branches. Only a tip that is not the head
that is known has the Project look, and that decides as after any push (D2).

What is in memory may be lost: after a start the last decision says when a branch was read, and more is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from mooring.domain import names, sweeping
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.projects import token_of
from mooring.domain.reasons import Reason
from mooring.domain.sweeping import Listed
from mooring.ports import Object, Origin
from mooring.services.platform import Platform
from mooring.services.store import Key
from mooring.services.sweep_groups import By, Followed, Group, mark_of
from mooring.services.work import Again

log = logging.getLogger(__name__)

# Tips of branches that one sweep asks git for at a time.
HINTS_AT_ONCE = 8
# Projects of a namespace that are asked for the token that they share, until one has it.
HOLDERS = 3


class Lender(Protocol):
    """Who knows the clone Secrets of installations."""

    async def clone_token(self, project: Object, secret: str) -> tuple[Origin, str] | None:
        """Return where a Project's installation answers, and the token in one of its clone Secrets."""
        ...


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a sweep found that is not as it is known."""

    # Whether the branch has to be read.
    reads: bool
    # Whether the source has to be proven again.
    proves: bool = False
    # When the repository was pushed to, where that is known.
    pushed_at: datetime | None = None


@dataclass(slots=True)
class _Circle:
    """The Projects of a group."""

    since: datetime
    joined: datetime
    followers: set[Key] = field(default_factory=set)
    sweeps: int = 0


@dataclass(frozen=True, slots=True)
class _Question:
    """A branch whose tip git is asked for."""

    key: Key
    it: Followed
    url: str
    pushed_at: datetime | None = None


class Sweeps:
    """The groups, and who follows what in them. A queue runs each when it is due."""

    def __init__(
        self,
        platform: Platform,
        lender: Lender,
        *,
        plan: Callable[[Group, float], None],
        doubt: Callable[[Key, Doubt], None],
        count: Callable[[Exception | None], None],
        look_at_hook: Callable[[Key], None] = lambda _: None,
    ) -> None:
        """Take what plans a run of a group, and what is told of each Project that has to look."""
        self._platform = platform
        self._lender = lender
        self._plan = plan
        self._doubt = doubt
        self._count = count
        self._look_at_hook = look_at_hook
        self._followed: dict[Key, Followed] = {}
        self._circles: dict[Group, _Circle] = {}

    def __len__(self) -> int:
        """Count the repositories that are followed."""
        return len({(it.group.namespace, it.repository_id or it.url) for it in self._followed.values()})

    def follow(self, key: Key, wanted: Followed, *, missed: bool = False) -> None:
        """Take over what a run found its Project to follow; `missed`: a push that no delivery had told of."""
        before, now = self._followed.get(key), self._platform.clock.now()
        circle = self._circle_of(wanted.group)
        wanted.read_at = sweeping.believed(wanted.read_at, now)
        if before is None or before.group != wanted.group:
            self.forget(key)
            circle.followers.add(key)
            circle.joined = now
        elif before.is_the_same(wanted):
            wanted.read_at = max((at for at in (before.read_at, wanted.read_at) if at is not None), default=None)
        if wanted.hook is not None:
            kept = before.hook if before is not None and before.group == wanted.group else None
            wanted.hook = sweeping.before_first_hook_look(circle.sweeps, str(key)) if kept is None else kept
            if missed:
                self._look_at_hook(key)
        self._followed[key] = wanted

    def _circle_of(self, group: Group) -> _Circle:
        if group not in self._circles:
            now = self._platform.clock.now()
            self._circles[group] = _Circle(now, now)
            delay = sweeping.first_delay(len(self._circles), self._platform.sweep_interval)
            self._plan(group, delay.total_seconds())
        return self._circles[group]

    def forget(self, key: Key) -> None:
        """Drop what is known of a Project that is gone, or follows nothing any more."""
        before = self._followed.pop(key, None)
        circle = self._circles.get(before.group) if before is not None else None
        if before is not None and circle is not None:
            circle.followers.discard(key)
            if not circle.followers:
                del self._circles[before.group]

    async def run(self, group: Hashable) -> Again | None:
        """Sweep a group and say when to do it again; raise Trouble where that is to be tried sooner."""
        if not isinstance(group, Group) or (circle := self._circles.get(group)) is None:
            return None
        if not circle.sweeps:
            together = sweeping.gathered_at(circle.since, circle.joined)
            if together > self._platform.clock.now():
                return Again(together)
        found: Exception | None = None
        try:
            await self._sweep(group, circle)
        except Trouble as trouble:
            found = trouble
            said = {"key": str(group), "reason": trouble.reason.value}
            log.warning("not swept: %s", trouble.message, extra=said)
            if not isinstance(trouble, Stalled):
                raise
            # Whose credential that is, is told elsewhere; it is tried again in time.
        except Exception as error:
            found = error
            raise
        finally:
            self._count(found)
        circle.sweeps += 1
        self._look_at_hooks(circle)
        now = self._platform.clock.now()
        return Again(sweeping.next_sweep(now, self._platform.sweep_interval, str(group)))

    async def _sweep(self, group: Group, circle: _Circle) -> None:
        if group.by is By.GIT:
            questions = [_Question(key, self._followed[key], self._followed[key].url) for key in circle.followers]
            alone = next((question for question in questions), None)
            token = await self._token(alone.key, alone.it.mark) if alone is not None and alone.it.mark else None
            await self._ask(questions, token, None)
            return
        origin, token, listed = await self._list(group, circle)
        await self._ask(list(self._compare(group, circle, origin, listed)), token, origin)

    async def _list(self, group: Group, circle: _Circle) -> tuple[Origin, str, dict[int, Listed]]:
        """Return what a credential reaches, and where it is good."""
        github = self._platform.github
        if group.by is By.INSTALLATION:
            project = next((obj for key in circle.followers if (obj := self._platform.store.get(key))), None)
            found = await self._lender.clone_token(project, group.name) if project is not None else None
            if found is None:
                raise Transient(Reason.REFRESH_FAILED, f"Secret {group.namespace}/{group.name} holds no good token.")
            return *found, dict(await github.listed(*found, namespace=group.namespace))
        origin = self._platform.origin(group.api_url)
        for key in islice(sorted(circle.followers), HOLDERS):
            token = await self._token(key, group.name)
            if token is not None:
                ids = (self._followed[key].repository_id for key in circle.followers if key in self._followed)
                wanted = frozenset(number for number in ids if number is not None)
                shown = await github.listed_to_person(origin, token, wanted, namespace=group.namespace)
                return origin, token, dict(shown)
        raise Transient(Reason.SECRET_NOT_FOUND, f"No Project in {group.namespace} has the token that it had.")

    async def _token(self, key: Key, mark: str | None) -> str | None:
        """Return a Project's own token, where it is still the one that its last run found."""
        live = await self._platform.cluster.read("Secret", key.namespace, names.token_secret(key.name))
        token = token_of(live)
        return token if token is not None and mark_of(key.namespace, token) == mark else None

    def _compare(self, group: Group, circle: _Circle, origin: Origin, listed: dict[int, Listed]) -> Iterator[_Question]:
        """Hold what is shown against what is known; what git has to say something of is returned, oldest first."""
        read = {key: it.read_at for key in circle.followers if (it := self._followed.get(key)) is not None}
        for key in sweeping.oldest_first(read):
            it = self._followed[key]
            shown = listed.get(it.repository_id or 0)
            if shown is None and group.by is By.INSTALLATION:
                self._doubt(key, Doubt(reads=False, proves=True))
            elif shown is None:
                # A list of what a person works on does not show what everybody may read.
                yield _Question(key, it, it.url)
            else:
                if sweeping.is_another(shown, it.full_name, it.private):
                    self._doubt(key, Doubt(reads=False, proves=True))
                if not it.pinned and not sweeping.is_settled(shown.pushed_at, it.read_at):
                    url = f"{origin.web_url}/{shown.full_name}.git"
                    yield _Question(key, it, url, shown.pushed_at)

    async def _ask(self, questions: list[_Question], token: str | None, origin: Origin | None) -> None:
        """Ask git for the tips of branches, some at a time. What was not answered is asked again soon."""
        left: Trouble | None = None
        for start in range(0, len(questions), HINTS_AT_ONCE):
            some = questions[start : start + HINTS_AT_ONCE]
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._hint(question, token, origin)) for question in some]
            troubles = [trouble for task in asked if (trouble := task.result()) is not None]
            if (limit := next((it for it in troubles if isinstance(it, Waiting)), None)) is not None:
                raise limit
            left = left or next(iter(troubles), None)
        if left is not None:
            raise left

    async def _hint(self, question: _Question, token: str | None, origin: Origin | None) -> Trouble | None:
        """Ask git for the tip of a branch: no more than a hint, since a name may be another repository's by now."""
        key, it, began = question.key, question.it, self._platform.clock.now()
        by_id = it.repository_id is not None
        try:
            _, tip = await self._platform.github.remote_head(
                question.url, token, it.branch, namespace=it.group.namespace
            )
        except Stalled:
            # Gone, renamed, or not to be seen: by its id GitHub says which.
            self._doubt(key, Doubt(reads=not it.pinned, proves=by_id, pushed_at=question.pushed_at))
        except Trouble as trouble:
            if question.pushed_at is None or isinstance(trouble, Waiting):
                return trouble
            # There was a push; where git does not answer, the API may.
            self._doubt(key, Doubt(reads=True, pushed_at=question.pushed_at))
        else:
            if tip == it.head:
                it.read_at = self._platform.time_at(origin, began)
            elif not it.pinned:
                self._doubt(key, Doubt(reads=True, pushed_at=question.pushed_at))
        return None

    def _look_at_hooks(self, circle: _Circle) -> None:
        """Have hooks looked at that were not for long, some in each sweep."""
        hooks = {key: last for key in sorted(circle.followers) if (last := self._followed[key].hook) is not None}
        for key in sweeping.hooks_to_look_at(hooks, circle.sweeps):
            self._followed[key].hook = circle.sweeps
            self._look_at_hook(key)
