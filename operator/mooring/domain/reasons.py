"""Every condition type and every reason, each with its sentence: pages of the reference are made from these.

A reason is part of the API: people and tools match on it. Add freely, rename never.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class _Word(StrEnum):
    """A word with the sentence that the reference says of it."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        """Keep the sentence beside the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class ConditionType(_Word):
    """What a condition speaks of."""

    READY = "Ready", "The object is as its spec asks, and works. `kubectl wait --for=condition=Ready` waits for it."
    TOKEN_RESOLVED = "TokenResolved", "Which token counts is known, and it is valid; Unknown while GitHub does not say."
    SOURCE_RESOLVED = (
        "SourceResolved",
        "The repository, its branch and its commit are found; Unknown while they may be.",
    )
    WEBHOOK_READY = "WebhookReady", "Pushes to the repository reach Mooring by a webhook."
    DEPLOYED = "Deployed", "The revision is rolled out, and its pods are available."
    RECONCILING = "Reconciling", "Mooring is at work, or comes back by itself. Read by kstatus."
    STALLED = "Stalled", "A person must change something; the message says what. Read by kstatus."


class Reason(_Word):
    """Why a condition is as it is."""

    # All is well
    READY = "Ready", "Everything is as the spec asks."
    SUSPENDED = "Suspended", "spec.suspend is true; everything else is kept."
    PROGRESSING = "Progressing", "A rollout is under way."
    DEPLOYED = "Deployed", "The revision is rolled out and available."
    RESOLVED = "Resolved", "Found, and proven with the object's own credential."
    IMAGE_ONLY = "ImageOnly", "The Project has no source: it runs its image alone."
    # Tokens
    PROJECT_TOKEN = "ProjectToken", "The workload gets the Project's own token."
    GLOBAL_TOKEN = "GlobalToken", "The workload gets the user's global token."
    NO_TOKEN = "NoToken", "There is no token, and none is asked for."
    OPTED_OUT = "OptedOut", "spec.token.source is none: no token is injected, also where there is a global one."
    SECRET_NOT_FOUND = "SecretNotFound", "The referenced Secret does not exist. Create it, or change the reference."
    SECRET_KEY_MISSING = "SecretKeyMissing", "The Secret has no such key, or it is empty. Add it, or name another key."
    SECRET_TYPE_WRONG = "SecretTypeWrong", "The Secret is not of type Opaque. Put the token into an Opaque Secret."
    NOT_A_TOKEN = "NotAToken", "The value has not the shape of a GitHub token. Check what was stored."
    TOKEN_INVALID = "TokenInvalid", "GitHub refuses the token: wrong or revoked. Make a new one and replace it."
    TOKEN_EXPIRED = "TokenExpired", "The token has expired. Make a new one and replace it."
    TOKEN_EXPIRING = "TokenExpiring", "The token expires soon. Make a new one and replace it in time."
    WRONG_IDENTITY = "WrongIdentity", "The token belongs to another login than spec.login. Correct one of the two."
    USER_NOT_FOUND = "UserNotFound", "There is no such GitHubUser that this namespace may use."
    GLOBAL_TOKEN_MISSING = "GlobalTokenMissing", "The global token is asked for, and the GitHubUser has none."
    GRANT_UNREADABLE = (
        "GrantUnreadable",
        "A grant by selector gives nothing: Mooring may not read the labels of namespaces here. Grant by name.",
    )
    USER_SUSPENDED = "UserSuspended", "The GitHubUser is suspended: its tokens are given to nobody."
    USER_NOT_READY = "UserNotReady", "The GitHubUser cannot give its token: see its own conditions."
    # Installations
    APP_NOT_BOUND = (
        "AppNotBound",
        "The operator's App may not be used here. Name one's own in appSecretRef, or ask for a binding in the policy.",
    )
    APP_NOT_CONFIGURED = "AppNotConfigured", "The operator has no App of its own. Name one in spec.appSecretRef."
    APP_KEY_MALFORMED = "AppKeyMalformed", "The Secret's appId or privateKey is not what it must be. Store it anew."
    APP_REFUSED = "AppRefused", "GitHub refuses the App's key: wrong App id, wrong or removed key. Correct the Secret."
    CA_MALFORMED = "CaMalformed", "The bundle of certificates cannot be read. Store it anew, in PEM."
    INSTALLATION_NOT_FOUND = (
        "InstallationNotFound",
        "There is no such installation that this namespace may use. Install the App, or correct the reference.",
    )
    INSTALLATION_SUSPENDED = "InstallationSuspended", "The installation is suspended at GitHub. Its owner resumes it."
    INSTALLATION_DELETED = "InstallationDeleted", "The App was uninstalled at GitHub. Install it again."
    INSTALLATION_NOT_READY = "InstallationNotReady", "The GitHubInstallation gives no token: see its own conditions."
    ACCOUNT_CHANGED = "AccountChanged", "Another account has taken the name: its id differs. Make a new object for it."
    PERMISSION_MISSING = (
        "PermissionMissing",
        "The installation does not have a permission that is asked for. Grant it at GitHub, or ask for less.",
    )
    REPOSITORY_NOT_COVERED = (
        "RepositoryNotCovered",
        "The installation does not cover a repository that is asked for. Add it at GitHub, or ask for less.",
    )
    SCOPE_REFUSED = "ScopeRefused", "GitHub refuses a token with these repositories and permissions. Ask for less."
    TOKENS_FRESH = "TokensFresh", "Every token that is asked for is there, and is replaced before it ends."
    REFRESH_FAILED = "RefreshFailed", "A token that was due could not be replaced; the old one is still good. Retried."
    # Sources
    REPOSITORY_NOT_FOUND = (
        "RepositoryNotFound",
        "GitHub shows no such repository to the Project's credential: it does not exist, or the token may not see it.",
    )
    REPOSITORY_CHANGED = "RepositoryChanged", "Another repository has taken the name: its id differs. Correct the name."
    BRANCH_NOT_FOUND = "BranchNotFound", "The repository has no such branch. Create it, or name another."
    REVISION_NOT_FOUND = "RevisionNotFound", "The pinned commit is not reachable from a branch of the repository."
    REPOSITORY_EMPTY = "RepositoryEmpty", "The repository has no commit yet. Push one."
    HOST_NOT_ALLOWED = "HostNotAllowed", "The administrator has not allowed this host."
    # Webhooks
    APP_DELIVERS = "AppDelivers", "The webhook of the installation's App brings pushes."
    HOOK_DELIVERS = "HookDelivers", "A webhook of the repository brings pushes; Mooring made it and keeps it."
    SWEEP_ONLY = "SweepOnly", "No webhook can bring pushes here: the branch is looked at now and then."
    NO_PUBLIC_URL = "NoPublicUrl", "GitHub has no address to send to: the administrator sets MOORING_PUBLIC_BASE_URL."
    HOOKS_FORBIDDEN = (
        "HooksForbidden",
        "The token may not manage the repository's webhooks. Give it that right; until then the sweep finds pushes.",
    )
    HOOK_LIMIT = (
        "HookLimit",
        "The repository has as many webhooks as GitHub allows. Remove one; until then the sweep finds pushes.",
    )
    EVENTS_MISSING = "EventsMissing", "The App does not subscribe to pushes. Its owner adds the event at GitHub."
    WEBHOOK_SECRET_MISSING = (
        "WebhookSecretMissing",
        "The App has no webhook secret here, so nothing that it sends is taken. Store it beside the key.",
    )
    WEBHOOK_ELSEWHERE = (
        "WebhookElsewhere",
        "The App's webhooks go to another address than this Mooring's, or nowhere. Enter status.webhook.url at GitHub.",
    )
    WEBHOOK_FAILING = "WebhookFailing", "The webhook's last delivery failed; it is asked for again. See its status."
    # Objects
    CONFLICT = "Conflict", "Something of this name exists and is not ours; it is left alone. Rename one of the two."
    CONTESTED = "Contested", "Somebody keeps changing what Mooring manages. Find the other writer."
    HOST_CONFLICT = "HostConflict", "Another Project has this host; the first keeps it. Choose another."
    NOT_ALLOWED = "NotAllowed", "The administrator's policy does not allow this."
    INVALID_SPEC = "InvalidSpec", "The spec breaks a rule; the message names the field."
    # The world
    GITHUB_UNAVAILABLE = "GitHubUnavailable", "GitHub does not answer or answers with an error of its own. Retried."
    RATE_LIMITED = "RateLimited", "GitHub's rate limit is reached. Continues when it resets."
    BUDGET_SPENT = "BudgetSpent", "The namespace has spent its share of requests to GitHub. Continues when it refills."
    CLUSTER_UNAVAILABLE = "ClusterUnavailable", "The API server refused or did not answer. Retried."
    ROLLOUT_FAILED = "RolloutFailed", "The new pods do not become available; the old ones stay. See the pods' Events."


class Happened(_Word):
    """The reason of a Kubernetes Event that tells of something else than a condition."""

    ROLLOUT_STARTED = "RolloutStarted", "New pods are about to be made; the message says of what, and what caused it."
    PUSH_SKIPPED = (
        "PushSkipped",
        "A push rolls nothing out; the message says why: its paths, a word in the commit, or a commit that is pinned.",
    )
    HOOK_LEFT = (
        "HookLeft",
        "A repository's webhook is needed no more and could not be removed; the message says which one stays there.",
    )
    PUSH_WAITS = "PushWaits", "A push waits for somebody's word: spec.deploy.auto is false."
