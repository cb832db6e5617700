"""The status of a Project: what was read, what was decided, what runs."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mooring.domain.resources.common import (
    Conditions,
    Count,
    Flag,
    Generation,
    Identifier,
    Line,
    Model,
    Time,
    Word,
    text,
)
from mooring.domain.resources.schema import ATOMIC
from mooring.domain.resources.tokens import TokenSource

Sha = Annotated[str, text(64)]
Ref = Annotated[str, text(300)]
DELIVERIES_MAX = 20
HISTORY_MAX = 10


class Trigger(StrEnum):
    """What led to a revision."""

    CREATE = "Create"
    SPEC = "Spec"
    PUSH = "Push"
    POLL = "Poll"
    TOKEN = "Token"  # noqa: S105  # the name of a trigger
    MANUAL = "Manual"
    ROLLBACK = "Rollback"


class TokenStatus(Model):
    """The token that the workload has; never its value."""

    source: TokenSource | None = None
    """Where it comes from: `project`, `global` or `none`."""
    kind: Word | None = None
    """What kind of token it is. Example: `fine-grained`."""
    from_: Line | None = Field(None, alias="from")
    """The object that it was taken from. Example: `GitHubUser team-a/default`."""
    secret_name: Annotated[str, text(253)] | None = None
    """The Secret that the workload reads it from."""
    expires_at: Time | None = None
    """When it expires, if GitHub said so."""


class SourceStatus(Model):
    """The repository as it was last read."""

    provider: Word | None = None
    """Who has the repository. Example: `GitHub`."""
    repository_id: Identifier | None = None
    """GitHub's id of the repository; a rename does not change it."""
    node_id: Word | None = None
    """GitHub's other id of the repository, for its GraphQL API."""
    full_name: Line | None = None
    """Its present name; for a plain git URL, host and path."""
    private: Flag | None = None
    """Whether strangers cannot see it."""
    branch: Ref | None = None
    """The branch that is followed."""
    head_sha: Sha | None = None
    """The branch's head when it was last read."""
    decided_sha: Sha | None = None
    """The newest head that was decided on: deployed, or skipped on purpose."""
    delivery: Word | None = None
    """GUID of the delivery that the branch was last read for."""
    redeploy: Line | None = None
    """The annotation `mooring.dev/redeploy` that was last acted on."""
    pinned_sha: Sha | None = None
    """The commit that `spec.source.revision` stays on, where it does."""
    proof: Line | None = None
    """Mooring's signature over what it proved about this source; nothing here counts without it."""
    pin_proof: Line | None = None
    """Mooring's signature over the pinned commit, once GitHub showed it on the branch; without it GitHub is asked."""
    proven_at: Time | None = None
    """When `proof` was last made anew; soon after that the branch is read once more."""
    read_at: Time | None = None
    """When the branch was read for the last decision, by GitHub's clock; what was pushed later is looked at again."""


class PushStatus(Model):
    """The newest push that the gateway recorded; a hint to read the branch, and no more."""

    sha: Sha | None = None
    """The head after the push, as the webhook said."""
    before: Sha | None = None
    """The head before the push, as the webhook said."""
    ref: Ref | None = None
    """The ref that was pushed to. Example: `refs/heads/main`."""
    delivery: Word | None = None
    """The delivery's GUID."""
    pushed_at: Time | None = None
    """When the push happened, as the webhook said."""
    received_at: Time | None = None
    """When the gateway received it."""
    sender: Word | None = None
    """Login of who pushed."""


class DeliveryStatus(Model):
    """One webhook request about this Project."""

    delivery: Word | None = None
    """The delivery's GUID."""
    event: Word | None = None
    """The event. Example: `push`."""
    sha: Sha | None = None
    """The head after the push."""
    ref: Ref | None = None
    """The ref that was pushed to."""
    sender: Word | None = None
    """Login of who caused it."""
    received_at: Time | None = None
    """When the gateway received it."""


class RevisionStatus(Model):
    """A commit that runs or ran, and why."""

    sha: Sha | None = None
    """Id of the commit."""
    short_sha: Annotated[str, text(16)] | None = None
    """The commit's first digits."""
    delivery: Word | None = None
    """GUID of the webhook that led to it, if one did."""
    trigger: Trigger | None = None
    """What led to it: `Create`, `Spec`, `Push`, `Poll`, `Token`, `Manual` or `Rollback`."""
    checkout_image: Line | None = None
    """Image of the container that checks the source out; kept, so that an upgrade of Mooring restarts nothing."""
    deployed_at: Time | None = None
    """When the rollout began."""


class PastRevision(RevisionStatus):
    """A revision that was rolled out, and what came of it."""

    failure: Line | None = None
    """Why its rollout failed, if it did."""


class PendingStatus(Model):
    """A commit that waits."""

    sha: Sha | None = None
    """Id of the commit."""
    short_sha: Annotated[str, text(16)] | None = None
    """The commit's first digits."""
    delivery: Word | None = None
    """GUID of the webhook that announced it, if one did."""
    reason: Word | None = None
    """What it waits for, in one word. Example: `ManualDeploy`."""
    since: Time | None = None
    """Since when it waits."""


class WebhookStatus(Model):
    """How pushes reach this Project."""

    via: Word | None = None
    """What brings them: `App`, `Repository` (a hook of its own) or `Sweep` (the branch is looked at now and then)."""
    since: Time | None = None
    """Since when that brings them."""
    state: Word | None = None
    """Whether they arrive: `Active`, `Failing` or `Missing`."""
    hook_id: Identifier | None = None
    """GitHub's id of the repository's hook, where Mooring keeps one."""
    repository_id: Identifier | None = None
    """The repository that has the hook."""
    api_url: Annotated[str, text(1024)] | None = None
    """The API of the GitHub that has the hook."""
    secret_version: Count | None = None
    """Version of the key that the hook's secret is derived from."""
    updated_at: Time | None = None
    """When the hook was last changed, as GitHub said when Mooring did; if it says otherwise, somebody else did."""


class ReplicasStatus(Model):
    """The workload's pods."""

    desired: Count | None = None
    """How many there should be."""
    ready: Count | None = None
    """How many are ready."""


class ProjectStatus(Model):
    """What is there."""

    observed_generation: Generation | None = None
    """The generation of the object that this status describes."""
    conditions: Conditions = ()
    """Observations: `Ready`, and one for each concern."""
    token: TokenStatus | None = None
    """The token that the workload has."""
    source: SourceStatus | None = None
    """The repository as it was last read."""
    push: PushStatus | None = None
    """The newest push that was recorded; written by the gateway."""
    deliveries: Annotated[tuple[DeliveryStatus, ...], Field(max_length=DELIVERIES_MAX), ATOMIC] = ()
    """The last 20 webhooks about this Project, for people; written by the gateway."""
    revision: RevisionStatus | None = None
    """The commit that runs."""
    pending: PendingStatus | None = None
    """A commit that waits for somebody's word, as with `spec.deploy.auto: false`."""
    history: Annotated[tuple[PastRevision, ...], Field(max_length=HISTORY_MAX), ATOMIC] = ()
    """The last 10 revisions, newest first."""
    webhook: WebhookStatus | None = None
    """How pushes reach this Project."""
    url: Annotated[str, text(1024)] | None = None
    """Where the workload is reached."""
    replicas: ReplicasStatus | None = None
    """The workload's pods."""
