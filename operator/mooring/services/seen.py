"""What one run for a Project gathered, and what can be read from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mooring.domain import names, revisions
from mooring.domain import projects as rules
from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.domain.manifests import checkout
from mooring.domain.names import Kind
from mooring.domain.ownership import is_owned
from mooring.domain.reasons import Happened, Reason
from mooring.domain.redeploys import Pending, pending_of
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import RevisionStatus, Trigger
from mooring.domain.revisions import SHORT_SHA
from mooring.domain.tokens import Resolution
from mooring.ports import Object
from mooring.services.heads import Look
from mooring.services.platform import Via
from mooring.services.sources import AtHand

# A run that is planned for later than this is no reason to leave a trouble alone that may pass sooner.
SOON = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Told:
    """When it was known of a push, or the push was made, and what told of it."""

    at: datetime
    via: Via


@dataclass(slots=True)
class Seen:
    """What one run gathered."""

    obj: Object
    project: Project
    resolution: Resolution
    source: rules.SourceFacts | None = None
    source_trouble: Trouble | None = None
    # Deliveries that tell of something that happened to the repository, for which it is proven anew.
    doubts: frozenset[str] = frozenset()
    # Why it could not be proven anew; it is tried again, and what was proven goes on.
    source_delay: Trouble | None = None
    trouble: Trouble | None = None
    # The token for the pods.
    token: str | None = field(default=None, repr=False)
    service_account: str | None = None
    clone_secret: str | None = None
    # The revision that counts, and those before it; None also where what is stored is not believed.
    stored: RevisionStatus | None = None
    history: list[RevisionStatus] = field(default_factory=list)
    # What follows from the branch's head, where it was looked at.
    look: Look | None = None
    # Whether the source cannot be run yet: then the status tells of it when it can.
    held: bool = False
    # The commit that waits for somebody's word.
    pending: Pending | None = None
    # Set where another run has to say what came of this one.
    again: datetime | None = None
    # Children that are not as they should be, because something is in the way.
    left: frozenset[Kind] = frozenset()

    @property
    def generation(self) -> int:
        """Return the generation that was observed."""
        return int(self.obj["metadata"].get("generation", 0))

    @property
    def status(self) -> dict[str, Any]:
        """Return the status as it is stored."""
        return self.obj.get("status") or {}

    @property
    def at_hand(self) -> AtHand:
        """Return the effective token, as far as it may fetch the source."""
        found = self.resolution
        return AtHand(found.token, found.api_url, found.trouble if found.undecided else None)

    @property
    def has_source(self) -> bool:
        """Tell whether the spec names a repository."""
        spec = self.project.spec.source
        return spec is not None and (spec.github is not None or spec.git is not None)

    def look_at(self, at: datetime | None) -> None:
        """Have another run at that time, unless there is one sooner."""
        if at is not None and (self.again is None or at < self.again):
            self.again = at

    def look_behind_memory(self) -> None:
        """Have another run when the memory of a missing repository ends: it may be there by now.

        Nothing else tells of that. A refused token is replaced by another one, which nothing is remembered of.
        """
        trouble = self.source_trouble
        if isinstance(trouble, Stalled) and trouble.reason is Reason.REPOSITORY_NOT_FOUND:
            self.look_at(trouble.known_until)

    def pressing(self, now: datetime) -> Trouble | None:
        """Return the trouble that says when to look again; None where there is another run soon enough, or no need."""
        delay = self.look.delay if self.look is not None else None
        troubles = (self.trouble, self.source_trouble, self.resolution.trouble, delay, self.source_delay)
        waiting = min((t for t in troubles if isinstance(t, Waiting)), key=lambda trouble: trouble.until, default=None)
        if waiting is not None and (self.again is None or waiting.until <= self.again):
            return waiting
        if self.again is not None and self.again <= now + SOON:
            return None
        # What is further off is planned again by the run that this leads to.
        return next((t for t in troubles if t is not None and not isinstance(t, Stalled | Waiting)), None)

    def adopt(self, *, carried_out: bool) -> None:
        """Take over what the branch's head led to. A commit that cannot be rolled out now is not decided on either."""
        look = self.look
        if look is not None and (carried_out or not look.rolls):
            self.source, self.pending = look.facts, look.pending
        elif look is not None:
            self.look, self.pending = replace(look, verdict=None), pending_of(self.status)
        running = (self.status.get("revision") or {}).get("sha")
        self.held = not carried_out and self.source is not None and running not in (None, self.source.sha)

    def overtaken(self, newer: Object) -> bool:
        """Tell whether a push was recorded while the branch was read for no push: that one decides on what was found.

        Else its commit would be rolled out as something that nobody told of. What is stored already stays.
        """
        verdict = self.look.verdict if self.look is not None else None
        if verdict is None or verdict.trigger not in {None, Trigger.POLL}:
            return False
        source, state = self.status.get("source") or {}, verdict.state
        is_found = state.head != source.get("headSha") and state.delivery == source.get("delivery")
        return is_found and (newer.get("status") or {}).get("push") != self.status.get("push")

    def told_of(self, revision: RevisionStatus) -> Told | None:
        """Return since when it is known of the push that led to a revision, and by what; None: there was none."""
        push = self.status.get("push") or {}
        began = push.get("receivedAt") or push.get("pushedAt")
        if began and revision.delivery is not None and revision.delivery == push.get("delivery"):
            via = Via.APP if self.project.spec.installation_ref is not None else Via.HOOK
            return Told(datetime.fromisoformat(began), via)
        look = self.look
        if look is None or look.pushed_at is None or revision.trigger is not Trigger.POLL:
            return None
        return Told(look.pushed_at, Via.SWEEP)

    def tidings(self, waited: str | None) -> Iterator[tuple[Happened, str]]:
        """Tell what became of a push that rolled nothing; `waited` is the commit that waited before."""
        verdict = self.look.verdict if self.look is not None else None
        if verdict is None:
            return
        head = verdict.state.head[:SHORT_SHA]
        told = f"{head} (delivery {verdict.state.delivery})" if verdict.state.delivery else head
        if verdict.skipped is not None:
            yield Happened.PUSH_SKIPPED, f"{told} is not rolled out: {verdict.skipped}."
        if self.pending is not None and self.pending.sha != waited:
            word = f"Set the annotation {names.REDEPLOY_ANNOTATION} to another value to roll it out."
            yield Happened.PUSH_WAITS, f"{told} waits, because spec.deploy.auto is false. {word}"


def ours(live: Object | None, uid: str) -> Object | None:
    """Return a live child where it belongs to the Project."""
    return live if live is not None and is_owned(live, uid) else None


def credential_of(source: rules.SourceFacts | None, deployment: Object | None) -> str | None:
    """Return what running pods fetch the source with: that stays while the installation is in trouble."""
    if source is None or deployment is None:
        return None
    return checkout.credential_of(deployment["spec"]["template"]["spec"], source.url)


def lacks_its_token(deployment: Object | None, made_of: rules.Ingredients) -> bool:
    """Tell whether somebody took or changed the Secret that running pods have their token from."""
    return deployment is not None and revisions.running(deployment).checksum != made_of.checksum


def rolled(before: Object | None, written: Object | None) -> bool:
    """Tell whether a write makes new pods."""
    return written is not None and (before is None or before["spec"]["template"] != written["spec"]["template"])
