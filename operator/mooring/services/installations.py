"""GitHubInstallation: prove it, keep its tokens fresh where they are wanted, end them where they are not, and tell.

Projects ask `reader` and `clone_secret`, which depend on nothing that a reconcile of the installation left behind: no
order of events matters.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pydantic import ValidationError

from mooring.domain import installations as rules
from mooring.domain import names
from mooring.domain.conditions import verdict
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.grants import needs_labels
from mooring.domain.problems import invalid_spec
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.domain.scopes import may_refer, not_covered, not_found, not_ready, shown_to
from mooring.ports import Changed, Object, Origin
from mooring.services import statuses
from mooring.services.app_hooks import AppHooks
from mooring.services.clone_tokens import token_in
from mooring.services.clones import Clones
from mooring.services.installation_run import Run
from mooring.services.lending import Found, Lending, usable
from mooring.services.minting import Minting
from mooring.services.outputs import Outputs
from mooring.services.parsed import Parsed
from mooring.services.platform import Platform
from mooring.services.redeliveries import Redeliveries
from mooring.services.scoping import Scoping
from mooring.services.store import Key, installation_reference, key_of
from mooring.services.token_secrets import ends_tokens
from mooring.services.webhook_secret import WebhookSecret
from mooring.services.work import Again

T = TypeVar("T")

# How soon it is tried again to end a token, while GitHub is away.
REVOKE_AGAIN = timedelta(seconds=5)


class Installations:
    """The service of the kind GitHubInstallation."""

    def __init__(
        self,
        platform: Platform,
        ask_projects: Callable[[Key], None],
        ask: Callable[[Key, float], None],
        shared: WebhookSecret,
        redeliveries: Redeliveries,
    ) -> None:
        self._platform = platform
        self._redeliveries = redeliveries
        self._ask_projects = ask_projects
        self._ask = ask
        self._lending = Lending(platform)
        self._hooks = AppHooks(platform, shared)
        self._minting = Minting(platform)
        self._scoping = Scoping(platform, self._minting)
        self._outputs = Outputs(platform, self._minting, self._scoping)
        self._clones = Clones(platform, self._minting, self._scoping, lambda key: ask(key, 0.0))
        # A thousand Projects that ask at once add one finalizer.
        self._holding: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        # What Projects were last told, so that they are asked again only when it differs.
        self._told: dict[Key, tuple[object, ...]] = {}
        self._parsed = Parsed(GitHubInstallation)

    async def aclose(self) -> None:
        """End what many runs share."""
        await self._lending.aclose()
        await self._minting.aclose()

    # What Projects ask

    def origin(self, key: Key, consumer: str) -> Origin:
        """Return where an installation answers, without a request."""
        _, installation = self._seen(key)
        if installation is None or not self._may_refer(installation, consumer):
            raise not_found(shown_to(consumer, key.namespace, key.name))
        return self._platform.origin(installation.spec.api_url)

    async def reader(self, key: Key, consumer: str, full_name: str) -> tuple[Origin, str]:
        """Return where an installation answers, and a token to look a repository up with there.

        Whether the namespace may have it is asked first: GitHub's answer would tell whether it exists.
        """
        found = await self._for(key, consumer)
        self._clones.check(found, consumer, full_name)
        token = await self._in_words_for(key, consumer, self._scoping.reader(found, consumer))
        return found.app.origin, token.token

    async def clone_token(self, project: Object, secret: str) -> tuple[Origin, str] | None:
        """Return where a Project's installation answers, and the token in one of its clone Secrets: none is made."""
        place, consumer = installation_reference(project), project["metadata"]["namespace"]
        key = Key("GitHubInstallation", place.namespace, place.name) if place is not None else None
        obj, installation = self._seen(key) if key is not None else (None, None)
        if obj is None or installation is None or installation.spec.suspend:
            return None
        if not self._may_refer(installation, consumer):
            return None
        origin = await self._lending.origin(installation)
        token = await token_in(self._platform, obj["metadata"]["uid"], consumer, secret, origin)
        return (origin, token) if token is not None else None

    async def look_for(self, key: Key) -> None:
        """Ask for an installation that no watch has shown: of objects applied together, any may be seen first."""
        if key not in self._platform.store:
            found = await self._platform.cluster.read_own(*key)
            if found is not None and self._platform.store.put(found):
                self._ask(key, 0.0)

    async def clone_secret(self, key: Key, project: Key, repository_id: int, full_name: str, *, proven: bool) -> str:
        """Return the name of the Secret that fetches a Project's repository; `proven`: GitHub just told this name."""
        found = await self._for(key, project.namespace)
        ensured = self._clones.ensure(found, project, repository_id, full_name, proven=proven)
        try:
            return await self._in_words_for(key, project.namespace, ensured)
        except Stalled as trouble:
            if trouble.reason is not Reason.REPOSITORY_NOT_COVERED:
                raise
            # By the name that was asked for: what it is called by now is for those to know who may see it.
            named = _repository_of(self._platform.store.outline(project)) or full_name
            raise not_covered(shown_to(project.namespace, key.namespace, key.name), named) from None

    async def webhook_trouble(self, key: Key, before: Reason | None) -> Reason | None:
        """Return why the webhook of an installation's App brings no pushes; None as far as nothing is known of that.

        `before` is what was told last: after a start, that stays until GitHub was asked.
        """
        obj, installation = self._seen(key)
        if obj is None or installation is None:
            return Reason.INSTALLATION_NOT_FOUND
        elsewhere = self._redeliveries.goes_elsewhere(key)
        if elsewhere is None:
            elsewhere = before is Reason.WEBHOOK_ELSEWHERE
        return await self._hooks.trouble(installation, obj.get("status") or {}, elsewhere=elsewhere)

    async def _for(self, key: Key, consumer: str) -> Found:
        """Return an installation for a namespace's use. Missing, forbidden and invisible look the same."""
        obj, installation = self._seen(key)
        shown = shown_to(consumer, key.namespace, key.name)
        if obj is None or installation is None or not self._may_refer(installation, consumer):
            raise not_found(shown)
        if installation.spec.suspend:
            raise not_ready(shown)
        return await self._in_words_for(key, consumer, self._held(obj, installation))

    async def _held(self, obj: Object, installation: GitHubInstallation) -> Found:
        """Find an installation, and hold its object before the first token is made."""
        found = usable(await self._lending.find(obj, installation))
        await self._hold(key_of(obj))
        return found

    async def _hold(self, key: Key) -> None:
        """Keep an object from going before its tokens are ended. Nothing is made for one that goes already."""
        async with self._holding[key]:
            obj = self._platform.store.get(key)
            if obj is None or obj["metadata"].get("deletionTimestamp"):
                raise not_found(shown_to(key.namespace, key.namespace, key.name))
            if names.TOKENS_FINALIZER in (obj["metadata"].get("finalizers") or ()):
                return
            try:
                stored = await self._platform.cluster.keep_finalizer(obj, names.TOKENS_FINALIZER, wanted=True)
            except Changed:
                await statuses.refresh(self._platform, obj)
                raise
            if stored is not None:
                self._platform.store.put(stored)

    def _seen(self, key: Key) -> tuple[Object | None, GitHubInstallation | None]:
        """Return an object that is there to stay, and what it says."""
        obj = self._platform.store.get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None, None
        installation = self._parsed(obj)
        return (None, None) if installation is None else (obj, installation)

    def _may_refer(self, installation: GitHubInstallation, consumer: str) -> bool:
        return may_refer(installation, consumer, self._platform.labels_of(consumer))

    async def _in_words_for(self, key: Key, consumer: str, asked: Awaitable[T]) -> T:
        """Speak to a Project of another namespace about the installation only, not about what is in its namespace."""
        try:
            return await asked
        except Trouble as trouble:
            if key.namespace == consumer or trouble.reason in _FOR_ALL:
                raise
            shown = shown_to(consumer, key.namespace, key.name)
            if isinstance(trouble, Stalled):
                raise not_ready(shown) from None
            message = f"Whether {shown} can give a clone credential is not known now. It is asked again."
            if isinstance(trouble, Waiting):
                raise Waiting(trouble.reason, message, until=trouble.until) from None
            raise Transient(trouble.reason, message) from None

    # The kind's own reconcile

    async def reconcile(self, key: Key) -> Again | None:
        """Make a GitHubInstallation what its spec asks."""
        obj = self._platform.store.get(key)
        if obj is None:
            self.gone(key)
            return None
        if obj["metadata"].get("deletionTimestamp"):
            return await self._delete(key, obj)
        try:
            installation = GitHubInstallation.model_validate(obj)
        except ValidationError as error:
            self._hooks.refuse(key)
            self._redeliveries.forget(key)
            wanted = verdict(invalid_spec(error), suspended=False, progressing=None, ready="")
            await statuses.write(self._platform, obj, {"observedGeneration": obj["metadata"]["generation"]}, wanted)
            return None
        run = Run(obj, installation)
        try:
            if installation.spec.suspend:
                # First, and whatever GitHub says.
                await self._withdraw(run)
            run.found = await self._lending.find(obj, installation)
            await self._keep_tokens(run)
        except Trouble as trouble:
            run.trouble = _deleted(trouble, obj)
            await self._keep_for_now(run)
        return await self._conclude(key, run)

    def gone(self, key: Key) -> None:
        """Forget an installation that was deleted, and have its Projects look again."""
        self._platform.token_states.forget(key)
        self._lending.forget(key)
        self._hooks.forget(key)
        self._redeliveries.forget(key)
        if self._told.pop(key, None) is not None:
            self._ask_projects(key)

    async def _keep_tokens(self, run: Run) -> None:
        """Make, renew and remove what is asked for by now."""
        found, tended = run.found, run.tended
        assert found is not None  # noqa: S101 - the caller looked
        if run.installation.spec.suspend:
            return
        usable(found)
        await self._hold(found.key)
        await self._outputs.tend(found, tended)
        run.outputs = tended.good
        await self._clones.tend(found, tended)
        tended.dropped |= self._minting.outside(run.uid, self._consumers(found))
        run.clones = tended.good - run.outputs
        known = (run.obj.get("status") or {}).get("repositoryCount")
        run.count = await self._scoping.count(found, known if isinstance(known, int) else None)

    def _consumers(self, found: Found) -> set[str]:
        """Return the namespaces that may have tokens of an installation."""
        projects = self._platform.store.projects_of(found.key)
        using = {project["metadata"]["namespace"] for project in projects}
        return {found.key.namespace, *(it for it in using if self._may_refer(found.installation, it))}

    async def _keep_for_now(self, run: Run) -> None:
        """Without a word of GitHub's: remove what must not be used any more, and leave the rest while it is good."""
        if run.trouble is not None and ends_tokens(run.trouble):
            await self._withdraw(run)
            return
        now = self._time(await self._origin(run))
        await self._outputs.drop_ended(run.installation, now, run.tended)
        await self._clones.drop_ended(run.key, run.uid, now, run.tended)

    async def _withdraw(self, run: Run) -> None:
        await self._outputs.withdraw(run.installation, run.tended)
        await self._clones.withdraw(run.key, run.uid, run.tended)
        run.tended.dropped |= self._minting.of(run.uid)

    async def _origin(self, run: Run) -> Origin | None:
        """Return where the tokens of an installation are good; None where nothing may be sent there any more."""
        last = run.found or self._lending.last(run.key)
        try:
            return last.app.origin if last is not None else await self._lending.origin(run.installation)
        except Trouble:
            return None

    def _time(self, origin: Origin | None) -> datetime:
        return self._platform.github.time_at(origin) if origin is not None else self._platform.clock.now()

    async def _conclude(self, key: Key, run: Run) -> Again | None:
        """End what nobody has any more, tell what came of it, and say when to look again."""
        tended, origin = run.tended, await self._origin(run)
        ended = tended.dropped - tended.tokens
        if run.trouble is not None and run.trouble.reason is Reason.INSTALLATION_SUSPENDED:
            self._minting.park(key, ended)
        else:
            self._minting.doom(key, origin, ended | (self._minting.resumed(key) if run.found is not None else set()))
        left = await self._minting.settle(key, run.uid)
        await tended.let_go()
        await self._hooks.learn(run.installation, run.found, run.trouble)
        self._watch_deliveries(run)
        trouble, there = run.worst(), self._time(origin)
        observed = rules.InstallationObservation(
            installation=run.installation,
            generation=int(run.obj["metadata"].get("generation", 0)),
            status=run.obj.get("status") or {},
            app=run.found.app_facts if run.found is not None else None,
            facts=run.found.facts if run.found is not None else None,
            repository_count=run.count,
            token_expires_at=(max if trouble is None else min)(tended.expires, default=None),
            trouble=trouble,
            webhook_url=self._hooks.url(run.installation),
            unreadable_grant=self._platform.namespaces is None
            and needs_labels(grant.namespaces for grant in run.installation.spec.grants),
            outputs=run.outputs,
            clones=run.clones,
            refresh_due=tended.overdue,
        )
        # A finalizer may have been added meanwhile: the newest version is what the status is held to, unless it asks
        # for something else by now.
        newest = self._platform.store.get(key)
        obj = newest if newest is not None and _asks_the_same(newest, run.obj) else run.obj
        await statuses.write(self._platform, obj, rules.status_fields(observed), rules.conditions(observed, there))
        self._tell(key, run, takes=await self._hooks.takes(run.installation))
        if isinstance(trouble, Transient) and not tended.overdue:
            # Ever more slowly. A token that is overdue has no time for that.
            raise trouble
        return self._next(run, trouble, there, left)

    def _watch_deliveries(self, run: Run) -> None:
        """Have the App's failed deliveries looked at while the installation may use it."""
        if run.found is not None:
            ref = run.installation.spec.app_secret_ref
            secret = ref.name if ref is not None else self._platform.app_secret
            address = self._hooks.url(run.installation)
            self._redeliveries.follow(run.found.app, key=run.key, secret=secret, address=address)
        elif isinstance(run.trouble, Stalled):
            self._redeliveries.forget(run.key)

    def _tell(self, key: Key, run: Run, *, takes: bool) -> None:
        """Ask the Projects to look again, where something that they depend on changed."""
        facts = run.found.facts if run.found is not None else None
        news = (
            run.trouble.reason if run.trouble is not None else None,
            bool(run.installation.spec.suspend),
            facts,
            self._clones.shape(run.uid),
            takes,
        )
        if self._told.get(key) != news:
            self._told[key] = news
            self._ask_projects(key)

    def _next(self, run: Run, trouble: Trouble | None, there: datetime, left: Trouble | None) -> Again:
        now = self._platform.clock.now()
        at = rules.next_look(
            now,
            interval=self._platform.sweep_interval,
            jitter=random.random(),  # noqa: S311 - spreads the looks
            refresh_times=[moment - (there - now) for moment in run.tended.due],
            trouble=trouble,
        )
        if trouble is not None and trouble.reason in _ABSENT and (soon := self._lending.look_again(run.obj)):
            at = min(at, now + soon)
        return Again(min(at, now + REVOKE_AGAIN) if left is not None else at)

    # Deletion

    async def _delete(self, key: Key, obj: Object) -> Again | None:
        """End all tokens, remove all copies, and let the object go; GitHub may be away for half a minute at most."""
        self._hooks.refuse(key)
        if names.TOKENS_FINALIZER not in (obj["metadata"].get("finalizers") or ()):
            self._forget(key, obj["metadata"]["uid"])
            return None
        run = Run(obj, _readable(obj))
        origin, since = await self._origin(run), _deletion(obj)
        held = await self._outputs.tokens(run.installation) | await self._clones.tokens(run.uid)
        held |= self._minting.of(run.uid) | self._minting.resumed(key)
        await self._withdraw(run)
        # Ended before the copies go: a process that dies in between finds them again.
        self._minting.doom(key, origin, held | run.tended.dropped, since=since)
        left = await self._minting.settle(key, run.uid)
        await run.tended.let_go()
        if left is not None:
            return Again(self._platform.clock.now() + REVOKE_AGAIN)
        stored = await self._platform.cluster.keep_finalizer(obj, names.TOKENS_FINALIZER, wanted=False)
        if stored is not None:
            self._platform.store.put(stored)
        self._forget(key, run.uid)
        return None

    def _forget(self, key: Key, uid: str) -> None:
        self._minting.forget_all(uid)
        self._scoping.forget(uid)
        self._holding.pop(key, None)
        self.gone(key)


_ABSENT = frozenset({Reason.INSTALLATION_NOT_FOUND, Reason.INSTALLATION_DELETED})
# What is said of an installation to whoever may refer to it: it is about the Project's own repository or reference.
_FOR_ALL = frozenset(
    {Reason.INSTALLATION_NOT_FOUND, Reason.INSTALLATION_NOT_READY, Reason.REPOSITORY_NOT_COVERED, Reason.CONFLICT}
)


def _deleted(trouble: Trouble, obj: Object) -> Trouble:
    """Tell an installation that was uninstalled from one that never was there."""
    if trouble.reason is not Reason.INSTALLATION_NOT_FOUND or not (obj.get("status") or {}).get("installationId"):
        return trouble
    return Stalled(
        Reason.INSTALLATION_DELETED,
        "The App is not installed there any more, or not for this namespace. Its tokens and their copies are gone."
        " Install it again, or delete this object.",
    )


def _repository_of(project: Object | None) -> str | None:
    """Return the repository that a Project names."""
    source = ((project or {}).get("spec") or {}).get("source") or {}
    name = (source.get("github") or {}).get("repository")
    return str(name) if name else None


def _asks_the_same(newest: Object, seen: Object) -> bool:
    """Tell whether an object still is the one that was seen, with the same spec."""
    return all(newest["metadata"].get(field) == seen["metadata"].get(field) for field in ("uid", "generation"))


def _readable(obj: Object) -> GitHubInstallation:
    """Return an object that goes; one whose spec cannot be read goes all the same."""
    try:
        return GitHubInstallation.model_validate(obj)
    except ValidationError:
        return GitHubInstallation.model_validate({**obj, "spec": {"installationId": 1}, "status": {}})


def _deletion(obj: Object) -> datetime:
    return datetime.strptime(obj["metadata"]["deletionTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
