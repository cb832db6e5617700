"""GitHubUser: validate its tokens, keep the copy of the global one, tell what is known, and answer Projects.

Projects ask `candidate`, which depends on nothing that a reconcile of the user left behind: no order of events matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from mooring.domain import names, origins
from mooring.domain import users as rules
from mooring.domain.conditions import verdict
from mooring.domain.copies import CopyStep, copy_manifest, plan_copy
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.fingerprints import fingerprint
from mooring.domain.grants import is_granted, needs_labels
from mooring.domain.ownership import is_owned
from mooring.domain.problems import invalid_spec
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_user import GitHubUser
from mooring.domain.secret_tokens import token_in
from mooring.domain.tokens import Candidate
from mooring.ports import AlreadyExists, Object
from mooring.services import statuses
from mooring.services.counts import Counts
from mooring.services.parsed import Parsed
from mooring.services.platform import Platform
from mooring.services.secrets import write_secret
from mooring.services.store import Key, key_of
from mooring.services.work import Again

# An account at GitHub: where, since each GitHub counts for itself, and its id there.
Identity = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Examined:
    """A token, and what GitHub says of it."""

    candidate: Candidate
    facts: rules.TokenFacts | None = None


class Users:
    """The service of the kind GitHubUser."""

    def __init__(
        self, platform: Platform, ask_projects: Callable[[Key], None], ask_user: Callable[[Key], None]
    ) -> None:
        self._platform = platform
        self._ask_user = ask_user
        self._ask_projects = ask_projects
        # What Projects were last told, so that they are asked again only when it differs.
        self._told: dict[Key, tuple[object, ...]] = {}
        # GitHub identities that were proven by this process, before the status says so.
        self._identities: dict[Key, Identity | None] = {}
        self._counts = Counts(platform.clock)
        self._parsed = Parsed(GitHubUser)

    # What Projects ask

    def find(self, key: Key, consumer: str) -> GitHubUser | None:
        """Return a user that a namespace may use. Missing, forbidden and invisible look the same."""
        obj = self._platform.store.get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        user = self._parsed(obj)
        if user is None:
            return None
        granted = is_granted(
            [grant.namespaces for grant in user.spec.grants],
            owner=key.namespace,
            consumer=consumer,
            labels=self._platform.labels_of(consumer),
        )
        return user if granted else None

    async def candidate(self, key: Key, *, owner: str | None, consumer: str, explicit: bool) -> Candidate | None:
        """Return what a user offers a Project of a namespace; None where there is no token and nobody named one."""
        user = self.find(key, consumer)
        local = key.namespace == consumer
        shown = f"GitHubUser {key.name}" if local else f"GitHubUser {key.namespace}/{key.name}"
        if user is None:
            return Candidate(shown, trouble=_not_found(shown)) if explicit else None
        if user.spec.suspend:
            trouble = Stalled(Reason.USER_SUSPENDED, f"{shown} is suspended: its tokens are given to nobody.")
            return Candidate(shown, trouble=trouble)
        if self._loses_identity(user):
            return Candidate(shown, trouble=_not_ready(shown))
        examined = await self._examine(user, rules.choose_token(user, owner))
        if examined is None:
            return None
        return _for_consumer(examined.candidate, shown, local=local)

    def resolved(self, user: Key, project: Key, source: str | None) -> bool:
        """Note how a Project was resolved (None: it is gone); tell whether the counts changed."""
        return self._counts.note(user, project, source)

    # The kind's own reconcile

    async def reconcile(self, key: Key) -> Again | None:
        """Make a GitHubUser what its spec asks."""
        obj = self._platform.store.get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            self.gone(key)
            return None
        now = self._platform.clock.now()
        try:
            user = GitHubUser.model_validate(obj)
        except ValidationError as error:
            wanted = verdict(invalid_spec(error), suspended=False, progressing=None, ready="")
            await statuses.write(self._platform, obj, {"observedGeneration": obj["metadata"]["generation"]}, wanted)
            return None
        plain, others = await self._examine_all(user)
        trouble = self._trouble(user, plain, others)
        conflict = await self._keep_copy(user, plain)
        projects, again = self._counts.of(key, (obj.get("status") or {}).get("projects"))
        observed = rules.UserObservation(
            user=user,
            generation=int(obj["metadata"].get("generation", 0)),
            status=obj.get("status") or {},
            facts=plain.facts if plain is not None else None,
            trouble=conflict or trouble,
            projects=projects,
            unreadable_grant=self._platform.namespaces is None
            and needs_labels(grant.namespaces for grant in user.spec.grants),
        )
        await self._write(obj, observed)
        self._tell(key, user, plain, others)
        if observed.trouble is not None and not isinstance(observed.trouble, Stalled):
            raise observed.trouble
        look = rules.next_look(
            now,
            interval=self._platform.sweep_interval,
            jitter=random.random(),  # noqa: S311 - spreads the looks
            expires_at=observed.facts.expires_at if observed.facts else None,
            trouble=observed.trouble,
        )
        return Again(look if again is None else min(look, again))

    def gone(self, key: Key) -> None:
        """Forget a user that was deleted, and have its Projects look again."""
        self._platform.token_states.forget(key)
        self._identities.pop(key, None)
        self._counts.forget(key)
        if self._told.pop(key, None) is not None:
            self._ask_projects(key)

    async def _examine(self, user: GitHubUser, choice: rules.TokenChoice) -> Examined | None:
        """Read one Secret, and ask GitHub about what is in it."""
        namespace = str(user.metadata.namespace)
        shown = f"Secret {choice.secret}"
        try:
            secret = await self._platform.secrets.get(namespace, choice.secret)
            if secret is not None and not choice.named and is_owned(secret, str(user.metadata.uid)):
                # Our own copy, from when spec.tokenSecretRef was set: it is removed, and no input.
                return None
            token = token_in(secret, choice.secret, choice.key, named=choice.named)
            if token is None:
                return None
            origin = self._platform.origin(user.spec.api_url)
            identity = await self._platform.github.identify(origin, token, namespace=namespace)
        except Trouble as trouble:
            return Examined(Candidate(shown, trouble=trouble))
        facts = rules.TokenFacts(
            fingerprint=fingerprint(str(user.metadata.uid), token),
            kind=identity.kind,
            scopes=identity.scopes,
            expires_at=identity.expires_at,
            login=identity.login,
            github_id=identity.github_id,
        )
        found = rules.expiry_trouble(identity.expires_at, shown, self._platform.clock.now())
        if found is None and user.spec.login and user.spec.login.casefold() != identity.login.casefold():
            found = Stalled(
                Reason.WRONG_IDENTITY,
                f"The token in {shown} belongs to {identity.login}, but spec.login is {user.spec.login}."
                " Replace the token, or correct spec.login.",
            )
        if found is not None:
            return Examined(Candidate(shown, kind=identity.kind, trouble=found))
        return Examined(
            Candidate(shown, token=token, kind=identity.kind, expires_at=identity.expires_at, api_url=origin.api_url),
            facts,
        )

    async def _examine_all(self, user: GitHubUser) -> tuple[Examined | None, list[tuple[str, Examined]]]:
        """Examine the plain token, and the one of every entry."""
        entries = [
            rules.TokenChoice(entry.secret_ref.name, entry.secret_ref.key, named=True, entry=entry.name)
            for entry in user.spec.tokens
        ]
        plain, *rest = await asyncio.gather(
            self._examine(user, rules.choose_token(user, None)), *(self._examine(user, entry) for entry in entries)
        )
        others = [(str(choice.entry), found) for choice, found in zip(entries, rest, strict=True) if found is not None]
        return plain, others

    def _trouble(self, user: GitHubUser, plain: Examined | None, others: list[tuple[str, Examined]]) -> Trouble | None:
        """Return the trouble that the object's conditions speak of."""
        self._note_identity(user, plain)
        if plain is not None and plain.candidate.trouble is not None:
            return plain.candidate.trouble
        if self._loses_identity(user):
            login = plain.facts.login if plain is not None and plain.facts else "this GitHub account"
            return Stalled(
                Reason.CONFLICT,
                f"Another GitHubUser of this namespace is linked to {login}. Delete one of the two.",
            )
        return next((found.candidate.trouble for _, found in others if found.candidate.trouble is not None), None)

    def _note_identity(self, user: GitHubUser, plain: Examined | None) -> None:
        """Keep what was proven; who claims the same identity has to look again where it is news."""
        if plain is not None and plain.candidate.trouble is not None and not _is_final(plain):
            # GitHub did not answer: what was known still holds, or a rival would take its place for that time.
            return
        key = Key("GitHubUser", str(user.metadata.namespace), user.metadata.name)
        before = self._identity(key, self._platform.store.get(key))
        found = plain.facts.github_id if plain is not None and plain.facts else None
        self._identities[key] = now = None if found is None else (self._api(user.spec.api_url), found)
        if now == before:
            return
        for rival in self._platform.store.keys_in("GitHubUser", key.namespace):
            if rival != key and self._identity(rival, self._platform.store.get(rival)) in {now, before} - {None}:
                self._ask_user(rival)

    def _loses_identity(self, user: GitHubUser) -> bool:
        """Tell whether an older GitHubUser of the namespace has the same GitHub identity."""
        key = Key("GitHubUser", str(user.metadata.namespace), user.metadata.name)
        everybody = self._platform.store.users_in(key.namespace)
        mine = self._identity(key, self._platform.store.get(key)) if len(everybody) > 1 else None
        if mine is None:
            return False
        rivals = [
            parsed
            for obj in everybody
            if self._identity(key_of(obj), obj) == mine and (parsed := self._parsed(obj)) is not None
        ]
        return rules.first_of(rivals) not in {None, user.metadata.name}

    def _identity(self, key: Key, obj: Object | None) -> Identity | None:
        """Return who a user is at GitHub: proven by this process, else as its status remembers."""
        if key in self._identities:
            return self._identities[key]
        remembered = ((obj or {}).get("status") or {}).get("githubId")
        if obj is None or not isinstance(remembered, int):
            return None
        return self._api((obj.get("spec") or {}).get("apiUrl")), remembered

    def _api(self, url: str | None) -> str:
        """Return an API's URL in its one form; one that cannot be used is like no other."""
        with contextlib.suppress(origins.BadUrl):
            return origins.api_url(url or self._platform.api_url)
        return str(url)

    async def _keep_copy(self, user: GitHubUser, plain: Examined | None) -> Trouble | None:
        """Keep, mend or remove the copy of the global token under its well-known name."""
        platform, namespace = self._platform, str(user.metadata.namespace)
        name = names.global_secret(rules.user_id(user))
        choice = rules.choose_token(user, None)
        if choice.named and choice.secret == name:
            return None
        undecided = plain is not None and plain.candidate.trouble is not None and not _is_final(plain)
        if undecided:
            return None
        token = plain.candidate.token if plain is not None and rules.copy_is_wanted(user) else None
        live = await platform.secrets.get(namespace, name)
        step = plan_copy(user, live, copy_manifest(user, token) if token is not None else None)
        mark = fingerprint(str(user.metadata.uid), token) if token is not None else None
        facts = {"kind": "GitHubUser", "namespace": namespace, "name": user.metadata.name}
        match step:
            case CopyStep.KEEP:
                return None
            case CopyStep.FOREIGN:
                return _foreign_copy(name)
            case CopyStep.CREATE:
                try:
                    await platform.cluster.create(copy_manifest(user, str(token)))
                except AlreadyExists:
                    platform.secrets.changed(namespace, name)
                    return _foreign_copy(name)
                platform.audit.record("token.copied", **facts, secret=name, fingerprint=mark)
            case CopyStep.APPLY if live is not None:
                await write_secret(platform.cluster, copy_manifest(user, str(token)), live)
                platform.audit.record("token.copied", **facts, secret=name, fingerprint=mark)
            case CopyStep.DELETE if live is not None:
                metadata = live["metadata"]
                await platform.cluster.delete(
                    "Secret", namespace, name, uid=metadata["uid"], resource_version=metadata["resourceVersion"]
                )
                platform.audit.record("token.copy_removed", **facts, secret=name)
        platform.secrets.changed(namespace, name)
        return None

    def _tell(self, key: Key, user: GitHubUser, plain: Examined | None, others: list[tuple[str, Examined]]) -> None:
        """Ask the user's Projects to look again, where something that they depend on changed."""
        tokens = [plain, *(found for _, found in others)]
        now = self._platform.clock.now()
        news: tuple[object, ...] = (
            user.metadata.generation,
            *(rules.is_expiring(t.candidate.expires_at, now) if t else None for t in tokens),
            self._loses_identity(user),
            *((t.facts, t.candidate.trouble.reason if t.candidate.trouble else None) if t else None for t in tokens),
        )
        if self._told.get(key) != news:
            first = key not in self._told
            self._told[key] = news
            if not first:
                self._ask_projects(key)

    async def _write(self, obj: Object, observed: rules.UserObservation) -> None:
        """Write the status where it changed, and keep the audit record."""
        now = self._platform.clock.now()
        stored = await statuses.write(
            self._platform, obj, rules.status_fields(observed, now), rules.conditions(observed, now)
        )
        self._record(key_of(obj), obj.get("status") or {}, stored.get("status") or {})

    def _record(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        old, new = ((status.get("token") or {}).get("fingerprint") for status in (before, after))
        if new == old:
            return
        action = "token.removed" if new is None else ("token.changed" if old else "token.set")
        self._platform.audit.record(
            action, kind=key.kind, namespace=key.namespace, name=key.name, fingerprint=new, previous=old
        )


def _is_final(examined: Examined) -> bool:
    return isinstance(examined.candidate.trouble, Stalled)


def _not_found(shown: str) -> Stalled:
    return Stalled(
        Reason.USER_NOT_FOUND,
        f"{shown} does not exist, or does not grant its use to this namespace. Correct spec.userRef, or ask its owner.",
    )


def _not_ready(shown: str) -> Stalled:
    return Stalled(Reason.USER_NOT_READY, f"{shown} cannot give its token: see its own conditions.")


def _not_known(shown: str, trouble: Trouble) -> Trouble:
    message = f"Whether {shown} can give its token is not known now: see its own conditions. It is asked again."
    if isinstance(trouble, Waiting):
        return Waiting(trouble.reason, message, until=trouble.until)
    return Transient(trouble.reason, message)


def _foreign_copy(name: str) -> Stalled:
    return Stalled(
        Reason.CONFLICT,
        f"A Secret {name} exists that Mooring did not make; it is left alone. Delete it, or leave out"
        " spec.tokenSecretRef to have it used as the input.",
    )


def _for_consumer(candidate: Candidate, shown: str, *, local: bool) -> Candidate:
    """Speak to a Project of another namespace about the user only, not about what is in its namespace."""
    origin = f"{shown} ({candidate.origin})" if local else shown
    trouble = candidate.trouble
    if trouble is not None and not local:
        trouble = _not_ready(shown) if isinstance(trouble, Stalled) else _not_known(shown, trouble)
    return replace(candidate, origin=origin, trouble=trouble)
