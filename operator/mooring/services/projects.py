"""Project: the right token in the right workload, at the right commit.

Observe: the token, the source, what the policy says, the children. Plan: pure, in `domain`. Apply: the revision into
the status first, then Secret, Deployment, Service and Ingress, then what came of it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from mooring.domain import carriers, names, rendering, revisions
from mooring.domain import projects as rules
from mooring.domain.conditions import verdict
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.fingerprints import fingerprint
from mooring.domain.manifests import checkout
from mooring.domain.manifests.secret import token_secret
from mooring.domain.names import Kind
from mooring.domain.plans import plan_children
from mooring.domain.problems import invalid_spec
from mooring.domain.reasons import Happened, Reason
from mooring.domain.redeploys import pending_field
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import RevisionStatus
from mooring.domain.rollouts import Rollout, rollout
from mooring.domain.users import next_look
from mooring.ports import Object
from mooring.services import statuses
from mooring.services.beliefs import Beliefs
from mooring.services.carriers import Carriers
from mooring.services.children import Children, ChildTrouble
from mooring.services.heads import Heads
from mooring.services.installations import Installations
from mooring.services.observing import Observer
from mooring.services.platform import Platform
from mooring.services.pods import Pods
from mooring.services.repository_hooks import RepositoryHooks
from mooring.services.seen import Seen, credential_of, lacks_its_token, ours, rolled
from mooring.services.sources import Sources, installation_key
from mooring.services.store import Key, key_of, outlined, user_reference
from mooring.services.sweep_groups import followed
from mooring.services.sweeps import Doubt, Sweeps
from mooring.services.tokens import Tokens
from mooring.services.users import Users
from mooring.services.work import Again

log = logging.getLogger(__name__)

# How long the counts on a GitHubUser may lag behind, in seconds: so that a thousand Projects make one write.
COUNTS_DELAY = 5.0
# How long after the beginning of a rollout its status is concluded, unless an event asks for it sooner.
CONCLUSION_DELAY = timedelta(seconds=1)
# How long until a foreign object that is in the way is looked for again: watches speak of our own children.
FOREIGN_LOOK = timedelta(seconds=10)


class Projects:
    """The service of the kind Project."""

    def __init__(
        self,
        platform: Platform,
        users: Users,
        installations: Installations,
        ask_user: Callable[[Key, float], None],
        *,
        hooks: RepositoryHooks,
        sweeps: Sweeps,
    ) -> None:
        self._platform = platform
        self._users = users
        self._installations = installations
        self._ask_user = ask_user
        self._sources = Sources(platform, installations)
        tokens = Tokens(platform, users, ask_user)
        self._observer = Observer(platform, tokens, self._sources, installations)
        self._hooks = hooks
        self._carriers = Carriers(platform, tokens, installations, hooks)
        self._heads = Heads(platform, self._sources)
        self._beliefs = Beliefs(platform, self._sources)
        self._children = Children(platform)
        self._pods = Pods(platform)
        self._sweeps = sweeps
        # Which user a Project was last counted for.
        self._counted: dict[Key, Key] = {}

    async def reconcile(self, key: Key) -> Again | None:
        """Make a Project what its spec asks."""
        obj = self._platform.store.get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            if obj is not None and (again := await self._carriers.end(obj)) is not None:
                return again
            self.gone(key)
            return None
        try:
            project = Project.model_validate({**obj, "status": outlined(obj)})
        except ValidationError as error:
            wanted = verdict(invalid_spec(error), suspended=False, progressing=None, ready="")
            await statuses.write(self._platform, obj, {"observedGeneration": obj["metadata"]["generation"]}, wanted)
            return None
        if project.spec.installation_ref is not None and not (obj.get("status") or {}).get("revision"):
            await self._installations.look_for(installation_key(project))
        seen = await self._observer.observe(obj, project)
        self._count(key, seen)
        live = await self._children.read(project, self._names_to_read(project))
        uid = str(project.metadata.uid)
        # While a token cannot be judged, pods keep the one that they have.
        undecided = seen.resolution.undecided
        seen.token = rules.token_of(ours(live.get("Secret"), uid)) if undecided else seen.resolution.token
        await self._settle(seen, ours(live.get("Deployment"), uid))
        outcome = await self._apply(seen, live)
        self._observer.stored(seen)
        self._follow(key, seen)
        return self._next(seen, outcome)

    def gone(self, key: Key) -> None:
        """Forget a Project that was deleted; its children go with it by their owner reference."""
        self._platform.token_states.forget(key)
        self._heads.forget(key)
        self._sweeps.forget(key)
        self._beliefs.forget(key)
        self._hooks.forget(key)
        self._pods.forget(key)
        self._observer.forget(key)
        user = self._counted.pop(key, None)
        if user is not None and self._users.resolved(user, key, None):
            self._ask_user(user, COUNTS_DELAY)

    def doubt(self, key: Key, found: Doubt) -> None:
        """Have the next run look where a sweep found something that is not as it is known."""
        if found.proves:
            self._observer.prove_again(key)
        if found.reads:
            self._heads.look_now(key, found.pushed_at)

    def _follow(self, key: Key, seen: Seen) -> None:
        """Have swept what is followed. What cannot be followed now is proven again before it is."""
        if (wanted := followed(key, seen, self._sources)) is not None:
            self._sweeps.follow(key, wanted, missed=seen.look is not None and seen.look.missed)
        elif seen.source_trouble is None or isinstance(seen.source_trouble, Stalled):
            self._sweeps.forget(key)

    def _count(self, key: Key, seen: Seen) -> None:
        """Keep the counts of the GitHubUser that this Project refers to."""
        reference = user_reference(seen.obj)
        user = Key("GitHubUser", reference.namespace, reference.name)
        before = self._counted.get(key)
        if before is not None and before != user and self._users.resolved(before, key, None):
            self._ask_user(before, COUNTS_DELAY)
        usable = self._users.find(user, key.namespace) is not None
        self._counted[key] = user
        if self._users.resolved(user, key, seen.resolution.source if usable else None):
            self._ask_user(user, COUNTS_DELAY)

    def _names_to_read(self, project: Project) -> dict[Kind, str]:
        """Return the children to look at: what is neither wanted nor known to be there costs no request."""
        name, namespace = names.child(project.metadata.name), str(project.metadata.namespace)
        wanted: dict[Kind, str] = {"Secret": names.token_secret(project.metadata.name), "Deployment": name}
        optional: tuple[Kind, ...] = ("Service", "Ingress")
        for kind in optional:
            if project.spec.expose is not None or (kind, namespace, name) in self._platform.seen_children:
                wanted[kind] = name
        return wanted

    async def _settle(self, seen: Seen, deployment: Object | None) -> None:
        """Find out what runs by right, and what the branch's head asks for beyond it."""
        try:
            await self._beliefs.settle(seen, deployment, lambda stored: self._is_edited(seen, stored, deployment))
            if seen.source is not None:
                seen.look = await self._heads.look(seen.project, seen.obj, seen.source, seen.at_hand)
        except Trouble as trouble:
            seen.source, seen.source_trouble = None, trouble
        else:
            seen.look_at(seen.look.again if seen.look is not None else None)

    def _is_edited(self, seen: Seen, stored: RevisionStatus, deployment: Object | None) -> bool:
        """Tell whether the Deployment was applied for a revision, and somebody changed it since."""
        if deployment is None:
            return False
        made_of = self._made_of(seen, seen.source or self._remembered(seen, deployment), deployment)
        drawn = rendering.as_it_is(made_of, stored, deployment).children["Deployment"]
        applied = revisions.running(deployment).applied
        return applied is not None and applied == drawn["metadata"]["annotations"][names.APPLIED_ANNOTATION]

    # Plan and apply

    def _made_of(self, seen: Seen, source: rules.SourceFacts | None, deployment: Object | None) -> rules.Ingredients:
        fetched = rendering.as_fetched(source, seen.project, seen.generation, deployment)
        return rules.Ingredients(
            project=seen.project if seen.trouble is None else rules.unpublished(seen.project),
            generation=seen.generation,
            token=seen.token,
            source=source,
            token_fetches=self._token_fetches(seen, fetched, deployment),
            service_account=seen.service_account,
            clone_secret=seen.clone_secret or credential_of(fetched, deployment),
            authorities=self._platform.authorities_at(fetched.url if fetched is not None else None),
            large_file_hosts=self._platform.large_file_hosts_of(fetched.url) if fetched is not None else (),
            token_authorities=self._platform.authorities_for(seen.resolution.api_url),
            token_origin=seen.resolution.web_origin,
        )

    async def _apply(self, seen: Seen, live: dict[Kind, Object | None]) -> rules.Outcome:
        project, uid = seen.project, str(seen.project.metadata.uid)
        secret, deployment = ours(live.get("Secret"), uid), ours(live.get("Deployment"), uid)
        token = seen.token
        source = seen.look.facts if seen.look is not None else seen.source or self._remembered(seen, deployment)
        made_of = self._made_of(seen, source, deployment)
        written: dict[Kind, Object] = {}
        drawn = self._draw(seen, made_of, deployment)
        decision = self._decide(seen, made_of, drawn, deployment) if drawn is not None else None
        seen.adopt(carried_out=decision is not None)
        if decision is not None:
            if decision.new:
                await self._announce(seen, decision.revision, made_of)
            wanted = rendering.wanted(made_of, decision.revision, deployment, drawn)
            written = await self._write_children(seen, dict(wanted), live)
            if token is not None and rolled(deployment, written.get("Deployment")):
                self._record_use(seen, token, decision.revision)
        elif secret is not None and not seen.resolution.undecided:
            # Nothing rolls; but a token that was withdrawn or replaced does not stay where pods start from.
            alone: dict[Kind, dict[str, Any]] = {}
            if token is not None:
                pod = deployment["spec"]["template"]["spec"] if deployment is not None else {}
                shown = checkout.shows_authorities(pod, secret["metadata"]["name"])
                told = names.ORIGIN_KEY in (secret.get("data") or {})
                alone["Secret"] = token_secret(
                    project,
                    token,
                    made_of.token_authorities if shown else None,
                    made_of.token_origin if told else None,
                )
            written = await self._write_children(seen, alone, {"Secret": secret})
        found = written.get("Deployment") or deployment
        outcome = self._outcome(
            seen,
            rollout=await self._judged(seen, found) if found is not None else None,
            has_token=token is not None and ("Secret" in written or secret is not None),
        )
        if decision is not None and decision.new and outcome.worst() is None:
            # The status says already that a rollout is under way; what came of it is told by the next run. So a token
            # that a thousand Projects inherit reaches all of their pods before any status is polished.
            seen.look_at(self._platform.clock.now() + CONCLUSION_DELAY)
            return outcome
        is_applied = found is not None and "Deployment" not in seen.left
        applied = decision.revision if decision is not None and is_applied else None
        await self._conclude(seen, outcome, applied)
        return outcome

    async def _judged(self, seen: Seen, deployment: Object) -> Rollout:
        """Judge a rollout, and say why it takes long where its pods tell."""
        key, judged = key_of(seen.obj), rollout(deployment)
        judged, again = await self._pods.explain(key, deployment, judged, [seen.token] if seen.token else [])
        seen.look_at(again)
        return judged

    def _draw(self, seen: Seen, made_of: rules.Ingredients, deployment: Object | None) -> rendering.Drawing | None:
        """Render the children as they are; None where nothing can be said now, and everything stays as it is."""
        stored = seen.stored
        if seen.has_source and (made_of.source is None or (seen.source is None and stored is None)):
            return None
        # What may not be published, or an account that may not be used, keeps a workload from being made. One that is
        # there goes on without: its token must still be able to change, or to be withdrawn.
        if seen.trouble is not None and (deployment is None or not isinstance(seen.trouble, Stalled)):
            return None
        if seen.resolution.undecided and (stored is None or lacks_its_token(deployment, made_of)):
            return None
        sha = _sha_of(seen, made_of)
        revision = stored or RevisionStatus(sha=sha, checkout_image="x" if sha else None)
        return rendering.as_it_is(made_of, revision, deployment)

    def _decide(
        self, seen: Seen, made_of: rules.Ingredients, drawn: rendering.Drawing, deployment: Object | None
    ) -> revisions.Decision:
        """Return the revision to run."""
        verdict = seen.look.verdict if seen.look is not None else None
        marks = drawn.children["Deployment"]["metadata"]["annotations"]
        asked = revisions.Asked(
            sha=_sha_of(seen, made_of),
            pinned=made_of.source is not None and made_of.source.pin is not None,
            checksum=made_of.checksum,
            restart=made_of.restart,
            template=marks[names.TEMPLATE_ANNOTATION],
            generation=seen.generation,
            applied=marks[names.APPLIED_ANNOTATION],
            cause=verdict.trigger if verdict is not None else None,
            delivery=verdict.delivery if verdict is not None else None,
        )
        return revisions.decide(
            seen.stored,
            seen.history,
            revisions.running(deployment) if deployment is not None else None,
            asked,
            checkout_image=self._platform.checkout_image,
            now=self._platform.clock.now(),
        )

    def _token_fetches(self, seen: Seen, source: rules.SourceFacts | None, deployment: Object | None) -> bool:
        if seen.resolution.undecided:
            # Nobody says where the token is good for: it stays with the URL that it is used for now.
            pod = deployment["spec"]["template"]["spec"] if deployment is not None else {}
            own = names.token_secret(seen.project.metadata.name)
            return source is not None and checkout.credential_of(pod, source.url) == own
        try:
            return self._sources.fetches(seen.project, seen.resolution.api_url)
        except Trouble:
            return False

    def _remembered(self, seen: Seen, deployment: Object | None) -> rules.SourceFacts | None:
        """Return the source as it was last proven: what runs goes on while the new one is in trouble.

        Of another GitHub than the running pods' nothing was proven, so there it is left as it is.
        """
        source = seen.status.get("source") or {}
        revision = seen.status.get("revision") or {}
        if seen.source_trouble is None or not revision.get("sha") or not source.get("fullName"):
            return None
        try:
            found = self._sources.remembered(seen.project, source)
        except Trouble:
            return None
        return None if found is not None and rendering.is_elsewhere(found, deployment) else found

    async def _announce(self, seen: Seen, revision: RevisionStatus, made_of: rules.Ingredients) -> None:
        """Store a new revision before anything rolls, held to the object as it was seen."""
        told = f"{revision.trigger}, delivery {revision.delivery}" if revision.delivery else str(revision.trigger)
        message = f"Rolling out {revision.short_sha or seen.project.spec.workload.image} ({told})."
        outcome = self._outcome(seen, starting=message, has_token=made_of.token is not None)
        fields = {**rules.source_fields(outcome), "revision": revisions.as_newest(revision)}
        fields["observedGeneration"] = seen.generation
        since = seen.told_of(revision)
        conditions = rules.conditions(outcome)
        seen.obj = await statuses.write(self._platform, seen.obj, fields, conditions, overtaken=seen.overtaken)
        self._beliefs.stored(seen.obj, revision)
        self._platform.herald.tell(seen.obj, warning=False, reason=Happened.ROLLOUT_STARTED.value, message=message)
        facts = {"commit": revision.sha, "trigger": revision.trigger, "delivery": revision.delivery}
        log.info("rolling out", extra={"object": key_of(seen.obj)._asdict(), **facts})
        if since is not None:
            took = self._platform.clock.now() - since.at
            self._platform.rolled_out(max(took.total_seconds(), 0.0), since.via)

    def _outcome(
        self, seen: Seen, *, has_token: bool, rollout: Rollout | None = None, starting: str | None = None
    ) -> rules.Outcome:
        return rules.Outcome(
            project=seen.project,
            resolution=seen.resolution,
            source=seen.source,
            source_trouble=seen.source_trouble,
            trouble=seen.trouble,
            rollout=rollout,
            has_token=has_token,
            starting=starting,
            now=self._platform.clock.now(),
            held=seen.held,
            pending=pending_field(seen.pending),
            webhook=carriers.condition_in(seen.status),
        )

    async def _write_children(
        self, seen: Seen, wanted: dict[Kind, dict[str, Any]], live: dict[Kind, Object | None]
    ) -> dict[Kind, Object]:
        resolution = seen.resolution
        held: set[Kind] = {"Secret"} if resolution.undecided else set()
        if seen.trouble is not None:
            held |= {"Service", "Ingress"}
        plan = plan_children(wanted, live, uid=str(seen.project.metadata.uid), held=frozenset(held))
        facts = {"source": resolution.source, "reason": resolution.reason.value}
        try:
            return await self._children.carry_out(seen.project, plan, facts)
        except ChildTrouble as found:
            seen.trouble, seen.left = seen.trouble or found.trouble, found.left
            if found.trouble.reason is Reason.CONFLICT:
                seen.again = self._platform.clock.now() + FOREIGN_LOOK
            return found.written

    def _record_use(self, seen: Seen, token: str, revision: RevisionStatus) -> None:
        """Keep the record that pods are rolled out with a token."""
        metadata = seen.project.metadata
        self._platform.audit.record(
            "token.used",
            kind="Project",
            namespace=str(metadata.namespace),
            name=metadata.name,
            fingerprint=fingerprint(str(metadata.uid), token),
            source=seen.resolution.source,
            token_kind=seen.resolution.kind,
            revision=revision.sha,
            trigger=revision.trigger.value if revision.trigger is not None else None,
        )

    async def _conclude(self, seen: Seen, outcome: rules.Outcome, applied: RevisionStatus | None) -> None:
        # After the children: a repository's hook is made when the pods are on their way.
        carried = await self._carriers.carry(seen)
        seen.obj, outcome = carried.obj, replace(outcome, webhook=carried.condition)
        seen.look_at(carried.again)
        fields = {**rules.status_fields(outcome, seen.generation), **carried.fields}
        if applied is not None:
            fields["revision"] = revisions.as_newest(applied)
            history = revisions.with_applied(seen.history, applied)
            known = seen.status.get("history") or ()
            if not revisions.history_stands(history, seen.history, known, outcome.rollout):
                fields["history"] = revisions.history_field(history, known, outcome.rollout)
        waited = (seen.status.get("pending") or {}).get("sha")
        conditions = rules.conditions(outcome)
        stored = await statuses.write(self._platform, seen.obj, fields, conditions, overtaken=seen.overtaken)
        for happened, message in seen.tidings(waited):
            self._platform.herald.tell(stored, warning=False, reason=happened.value, message=message)

    def _next(self, seen: Seen, outcome: rules.Outcome) -> Again | None:
        """Say when to look again by oneself, or hand over the trouble that says so."""
        worst = outcome.worst()
        seen.look_behind_memory()
        if (pressing := seen.pressing(self._platform.clock.now())) is not None:
            raise pressing
        if seen.again is not None:
            return Again(seen.again)
        spec = seen.project.spec.token
        if seen.source_trouble is None and (spec is None or spec.secret_ref is None):
            return None
        # GitHub tells nobody that a token was revoked, or that a missing repository is there.
        at = next_look(
            self._platform.clock.now(),
            interval=self._platform.sweep_interval,
            jitter=random.random(),  # noqa: S311 - spreads the looks
            expires_at=seen.resolution.expires_at,
            trouble=worst,
        )
        return Again(at)


def _sha_of(seen: Seen, made_of: rules.Ingredients) -> str | None:
    """Return the commit to run: of a source that is only remembered, the one that was decided on."""
    if made_of.source is None:
        return None
    return seen.stored.sha if seen.source is None and seen.stored is not None else made_of.source.sha
