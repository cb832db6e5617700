"""Project: what is wanted of its children, and what its status says. The services gather; this decides."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from mooring.domain import names, token_shape
from mooring.domain.conditions import Wanted, timestamp, verdict
from mooring.domain.errors import Stalled, Trouble
from mooring.domain.fingerprints import rollout_checksum
from mooring.domain.manifests import CheckoutSource, DeploymentInputs, TokenMount, children, versions
from mooring.domain.manifests.metadata import digest
from mooring.domain.names import Kind
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import RevisionStatus
from mooring.domain.revisions import SHORT_SHA
from mooring.domain.rollouts import Rollout, RolloutState
from mooring.domain.tokens import Resolution
from mooring.domain.users import is_expiring

# What the pod template carries of revision, token and restart.
MOORING_ANNOTATIONS = (
    names.REVISION_ANNOTATION,
    names.DELIVERY_ANNOTATION,
    names.TRIGGER_ANNOTATION,
    names.TOKEN_CHECKSUM_ANNOTATION,
    names.RESTART_ANNOTATION,
)

# A person said, here or at GitHub, that the repository is not to be had: of it, a Project is told nothing more.
WITHDRAWN = frozenset(
    {
        Reason.ACCOUNT_CHANGED,
        Reason.APP_NOT_BOUND,
        Reason.APP_NOT_CONFIGURED,
        Reason.APP_REFUSED,
        Reason.HOST_NOT_ALLOWED,
        Reason.INSTALLATION_DELETED,
        Reason.INSTALLATION_NOT_FOUND,
        Reason.INSTALLATION_NOT_READY,
        Reason.INSTALLATION_SUSPENDED,
        Reason.NOT_ALLOWED,
        Reason.PERMISSION_MISSING,
        Reason.REPOSITORY_CHANGED,
        Reason.REPOSITORY_NOT_COVERED,
        Reason.REPOSITORY_NOT_FOUND,
        Reason.SCOPE_REFUSED,
        Reason.TOKEN_EXPIRED,
        Reason.TOKEN_INVALID,
        Reason.USER_NOT_FOUND,
        Reason.USER_NOT_READY,
        Reason.USER_SUSPENDED,
        Reason.WRONG_IDENTITY,
    }
)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The repository that a Project follows, as it was proven."""

    provider: str
    full_name: str
    url: str
    branch: str
    decided_sha: str
    head_sha: str
    repository_id: int | None = None
    node_id: str | None = None
    # The name in the spec that led to it, which a rename leaves as it is.
    spec_name: str | None = None
    private: bool | None = None
    # The commit that runs where none is pinned; None: the one that was decided on.
    deployed_sha: str | None = None
    # The commit that spec.source.revision stays on.
    pin: str | None = None
    # The delivery that the branch was last read for, and the annotation that was last acted on.
    delivery: str | None = None
    redeploy: str | None = None
    # The signature over what is said here.
    proof: str | None = None
    # And the one over the pin, which is not part of that.
    pin_proof: str | None = None
    # Since when the first of them stands there.
    proven_at: str | None = None
    # When the branch was read for the last decision, by GitHub's clock.
    read_at: str | None = None
    # Whether GitHub said so in this very run; else it is what the status remembers.
    fresh: bool = field(default=False, compare=False)

    @property
    def sha(self) -> str:
        """Return the commit to run."""
        return self.pin or self.deployed_sha or self.decided_sha

    def time_of_read(self) -> datetime | None:
        """Return when the branch was read; None where nobody knows, or somebody wrote something else there."""
        try:
            found = datetime.fromisoformat(self.read_at or "")
        except ValueError:
            return None
        return found if found.tzinfo is not None else None

    def status(self) -> dict[str, Any]:
        """Return status.source."""
        return {
            "provider": self.provider,
            "repositoryId": self.repository_id,
            "nodeId": self.node_id,
            "fullName": self.full_name,
            "specName": self.spec_name,
            "private": self.private,
            "branch": self.branch,
            "headSha": self.head_sha,
            "decidedSha": self.decided_sha,
            "delivery": self.delivery,
            "redeploy": self.redeploy,
            "pinnedSha": self.pin,
            "proof": self.proof,
            "pinProof": self.pin_proof,
            "provenAt": self.proven_at,
            "readAt": self.read_at,
        }


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a Project's children are made of."""

    project: Project
    generation: int
    token: str | None
    source: SourceFacts | None
    # Whether the token may be sent to where the source is: every credential is bound to one origin.
    token_fetches: bool
    service_account: str | None
    # The Secret with the clone credential of the Project's installation, where it has one.
    clone_secret: str | None = None
    # Certificates to trust beside the system's, where the operator itself has such: at the source's host, and at the
    # one that the token is for.
    authorities: str | None = None
    token_authorities: str | None = None
    # Where git may send the token.
    token_origin: str | None = None
    # Hosts that the source's large files may come from beside its own.
    large_file_hosts: tuple[str, ...] = ()

    @property
    def checksum(self) -> str | None:
        """Return what the pod template carries for the token."""
        return rollout_checksum(str(self.project.metadata.uid), self.token) if self.token is not None else None

    @property
    def restart(self) -> str | None:
        """Return the annotation that asks for new pods."""
        return (self.project.metadata.annotations or {}).get(names.RESTART_ANNOTATION)


def unpublished(project: Project) -> Project:
    """Return a Project as if it published nothing: its workload alone."""
    return project.model_copy(update={"spec": project.spec.model_copy(update={"expose": None})})


def manifests(
    made_of: Ingredients, revision: RevisionStatus, *, version: int | None = None
) -> dict[Kind, dict[str, Any]]:
    """Render the children for a revision, the Deployment with a version of its template (None: the newest)."""
    version = version or versions.newest()
    project = made_of.project
    secret = names.token_secret(project.metadata.name)
    inputs = DeploymentInputs(
        revision=revision,
        token=TokenMount(secret, made_of.checksum) if made_of.checksum is not None else None,
        source=_checkout(made_of, revision, secret),
        suspended=bool(project.spec.suspend),
        service_account=made_of.service_account,
        restart=made_of.restart,
    )
    made = children(
        project,
        made_of.token,
        inputs,
        version,
        authorities=made_of.token_authorities,
        origin=made_of.token_origin,
        mark=partial(_marked, generation=made_of.generation, version=version),
    )
    return {manifest["kind"]: manifest for manifest in made}


def _checkout(made_of: Ingredients, revision: RevisionStatus, secret: str) -> CheckoutSource | None:
    facts, spec = made_of.source, made_of.project.spec.source
    if facts is None or spec is None or revision.sha is None:
        return None
    own = secret if made_of.token is not None and made_of.token_fetches else None
    # The installation's where there is one: it is narrower than any token of a person's.
    credential = made_of.clone_secret if spec_uses_installation(made_of.project) else own
    return CheckoutSource(
        url=facts.url,
        sha=revision.sha,
        image=revision.checkout_image or "",
        path=spec.path,
        submodules=bool(spec.submodules),
        lfs=bool(spec.lfs),
        credential_secret=credential,
        authorities=made_of.authorities,
        large_file_hosts=made_of.large_file_hosts if spec.lfs else (),
    )


def spec_uses_installation(project: Project) -> bool:
    """Tell whether a Project's source is fetched with the credential of an installation."""
    source = project.spec.source
    return project.spec.installation_ref is not None and source is not None and source.github is not None


def _marked(deployment: dict[str, Any], generation: int, version: int) -> dict[str, Any]:
    """Note on the Deployment what it was rendered for, and with which version."""
    # The digest, which is of what stands after it, comes first: so versions that were released wrote it.
    annotations = {**(deployment["metadata"].get("annotations") or {}), names.APPLIED_ANNOTATION: ""}
    annotations[names.GENERATION_ANNOTATION] = str(generation)
    annotations[names.TEMPLATE_ANNOTATION] = template_mark(deployment)
    if version != versions.FIRST:
        # Kubernetes counts a changed annotation as a change of a Deployment: those from before there were versions are
        # not written for its sake.
        annotations[names.TEMPLATE_VERSION_ANNOTATION] = str(version)
    return {**deployment, "metadata": {**deployment["metadata"], "annotations": annotations}}


def template_mark(deployment: Mapping[str, Any]) -> str:
    """Return a digest of the pod template without what comes from the revision and the token."""
    template = deployment["spec"]["template"]
    annotations = template["metadata"].get("annotations") or {}
    kept = {name: value for name, value in annotations.items() if name not in MOORING_ANNOTATIONS}
    return digest({"metadata": {**template["metadata"], "annotations": kept}, "spec": template["spec"]})


def token_of(secret: Mapping[str, Any] | None) -> str | None:
    """Return the token in a Project's own Secret: what pods have now, while a new one cannot be judged.

    Somebody may have put anything else in its place: that is no token.
    """
    encoded = ((secret or {}).get("data") or {}).get(names.EFFECTIVE_TOKEN_KEY) or ""
    try:
        return token_shape.parse(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        return None


# --- status ---


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconcile came to."""

    project: Project
    resolution: Resolution
    source: SourceFacts | None
    source_trouble: Trouble | None
    # Trouble with children, policy or the spec as a whole.
    trouble: Trouble | None
    rollout: Rollout | None
    has_token: bool
    # Said where a rollout is about to begin.
    starting: str | None = None
    # The time, where the end of a token is to be told ahead.
    now: datetime | None = None
    # Whether the source was found and cannot be run yet.
    held: bool = False
    # status.pending.
    pending: dict[str, Any] | None = None
    # What is said of webhooks, where anything is.
    webhook: Wanted | None = None

    def worst(self) -> Trouble | None:
        """Return the trouble to speak of first: what a person must mend before what passes by itself.

        The token before the source: a repository is often not seen because the token is no good.
        """
        found = [self.trouble, self.resolution.trouble, self.source_trouble, _rollout_trouble(self.rollout)]
        troubles = [trouble for trouble in found if trouble is not None]
        return next((t for t in troubles if isinstance(t, Stalled)), troubles[0] if troubles else None)


def _rollout_trouble(found: Rollout | None) -> Stalled | None:
    if found is None or found.state is not RolloutState.FAILED:
        return None
    return Stalled(Reason.ROLLOUT_FAILED, found.message)


def conditions(outcome: Outcome) -> list[Wanted]:
    """Return the conditions of a Project."""
    found = outcome.rollout
    suspended = bool(outcome.project.spec.suspend)
    progressing = outcome.starting
    if progressing is None and not suspended and (found is None or found.state is RolloutState.PROGRESSING):
        progressing = found.message if found is not None else "The workload is not there yet."
    ready, *rest = verdict(
        outcome.worst(),
        suspended=suspended,
        progressing=progressing,
        ready=found.message if found is not None else "Everything is as the spec asks.",
    )
    return [
        ready,
        _token_condition(outcome.resolution, outcome.now),
        _source_condition(outcome),
        *((outcome.webhook,) if outcome.webhook is not None else ()),
        _deployed(found, suspended),
        *rest,
    ]


def _token_condition(resolution: Resolution, now: datetime | None) -> Wanted:
    expires = resolution.expires_at
    if resolution.token is not None and now is not None and expires is not None and is_expiring(expires, now):
        message = f"{resolution.message} It expires at {timestamp(expires)}: make a new one and replace it before."
        return Wanted(ConditionType.TOKEN_RESOLVED, True, Reason.TOKEN_EXPIRING, message)
    status = True if resolution.trouble is None else (None if resolution.undecided else False)
    return Wanted(ConditionType.TOKEN_RESOLVED, status, resolution.reason, resolution.message)


def _source_condition(outcome: Outcome) -> Wanted:
    kind, trouble = ConditionType.SOURCE_RESOLVED, outcome.source_trouble
    if trouble is not None:
        return Wanted(kind, False if isinstance(trouble, Stalled) else None, trouble.reason, trouble.message)
    if outcome.source is None:
        return Wanted(kind, True, Reason.IMAGE_ONLY, Reason.IMAGE_ONLY.sentence)
    if outcome.held:
        return Wanted(kind, None, Reason.PROGRESSING, "It is found, and followed when nothing else is in the way.")
    return Wanted(kind, True, Reason.RESOLVED, f"{outcome.source.full_name}, {_followed(outcome.source)}.")


def _followed(source: SourceFacts) -> str:
    if source.pin is None:
        return f"branch {source.branch}"
    # Whoever wonders why a push does nothing looks here.
    pin = f"pinned to {source.pin[:SHORT_SHA]} by spec.source.revision"
    return f"{pin}; pushes to branch {source.branch} roll nothing out"


def _deployed(found: Rollout | None, suspended: bool) -> Wanted:
    kind = ConditionType.DEPLOYED
    if found is None:
        return Wanted(kind, False, Reason.PROGRESSING, "The workload is not there yet.")
    if found.state is RolloutState.FAILED:
        return Wanted(kind, False, Reason.ROLLOUT_FAILED, found.message)
    if suspended:
        return Wanted(kind, True, Reason.SUSPENDED, Reason.SUSPENDED.sentence)
    if found.state is RolloutState.PROGRESSING:
        return Wanted(kind, False, Reason.PROGRESSING, found.message)
    return Wanted(kind, True, Reason.DEPLOYED, found.message)


def status_fields(outcome: Outcome, generation: int) -> dict[str, Any]:
    """Return the fields of the status that this kind's service owns, conditions, revision and history apart."""
    fields: dict[str, Any] = {"observedGeneration": generation, "url": _url(outcome.project)}
    resolution = outcome.resolution
    if not resolution.undecided:
        fields["token"] = {
            "source": resolution.source,
            "kind": resolution.kind,
            "from": resolution.origin if resolution.source != "none" else None,
            "secretName": names.token_secret(outcome.project.metadata.name) if outcome.has_token else None,
            "expiresAt": timestamp(resolution.expires_at) if resolution.expires_at else None,
        }
    fields.update(source_fields(outcome))
    fields["replicas"] = (
        {"desired": outcome.rollout.desired, "ready": outcome.rollout.ready} if outcome.rollout is not None else None
    )
    return fields


def source_fields(outcome: Outcome) -> dict[str, Any]:
    """Return what the status says of the source: nothing new while it is in trouble, or not followed yet.

    But what was proven with an access that was withdrawn is proven no more.
    """
    trouble, status = outcome.source_trouble, outcome.project.status
    withdrawn = isinstance(trouble, Stalled) and trouble.reason in WITHDRAWN
    if withdrawn and outcome.source is None and status is not None and status.source is not None:
        return {"source": {"proof": None, "pinProof": None}}
    if outcome.held or (outcome.source is None and outcome.source_trouble is not None):
        return {}
    return {"source": outcome.source.status() if outcome.source is not None else None, "pending": outcome.pending}


def _url(project: Project) -> str | None:
    expose = project.spec.expose
    if expose is None or expose.host is None:
        return None
    return f"{'https' if expose.tls_secret_name else 'http'}://{expose.host}"
