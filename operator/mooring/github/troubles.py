"""What is told to people when GitHub says no: reason and message for each case, in our words and never in GitHub's."""

from __future__ import annotations

from datetime import datetime

from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import Reason


def renewed(trouble: Trouble) -> Trouble:
    """Return an equal trouble to raise: one exception raised for many would gather the traces of them all."""
    if isinstance(trouble, Waiting):
        return Waiting(trouble.reason, trouble.message, until=trouble.until)
    found = type(trouble)(trouble.reason, trouble.message)
    if isinstance(trouble, Stalled) and isinstance(found, Stalled):
        found.known_until = trouble.known_until
    return found


def host_not_allowed(host: str) -> Stalled:
    """The administrator has not allowed the host, or its name leads to an address that is not the internet's."""
    return Stalled(
        Reason.HOST_NOT_ALLOWED,
        f"{host} is not allowed, or leads to a private address; nothing was sent. Correct the URL, or ask the"
        " administrator to add the host to allowedHosts of the policy.",
    )


def not_a_token() -> Stalled:
    """A value that is not a token is not sent."""
    return Stalled(Reason.NOT_A_TOKEN, "The value has not the shape of a GitHub token, and was sent nowhere.")


def token_invalid(host: str) -> Stalled:
    """GitHub refuses the credential."""
    return Stalled(
        Reason.TOKEN_INVALID,
        f"{host} refuses the token: it is wrong, revoked or expired. Make a new one and replace it.",
    )


def token_expired(host: str, end: datetime) -> Stalled:
    """GitHub refuses a credential whose end it had told, and that has passed."""
    return Stalled(
        Reason.TOKEN_EXPIRED,
        f"{host} refuses the token: it expired at {_time(end)}. Make a new one and replace it.",
    )


def repository_not_found(host: str, repository: str) -> Stalled:
    """Missing, forbidden and invisible: one sentence for all three."""
    return Stalled(
        Reason.REPOSITORY_NOT_FOUND,
        f"{host} shows no repository {repository} to this credential. Check the name, and that the token may read the"
        " repository's contents.",
    )


def repository_moved(host: str, repository: str) -> Stalled:
    """A git server redirects: a credential stays where it was sent, and so does the checkout."""
    return Stalled(
        Reason.REPOSITORY_NOT_FOUND,
        f"{host} redirects the repository {repository}, which is not followed. Write the URL that it has now.",
    )


def repository_empty(host: str, repository: str) -> Stalled:
    """No commit yet."""
    return Stalled(Reason.REPOSITORY_EMPTY, f"The repository {repository} at {host} has no commit yet. Push one.")


def branch_not_found(host: str, repository: str, branch: str) -> Stalled:
    """The repository is there, the branch is not."""
    shown = "".join(c if c.isprintable() else "?" for c in branch[:255])
    return Stalled(
        Reason.BRANCH_NOT_FOUND,
        f"The repository {repository} at {host} has no branch {shown}. Create it, or name another.",
    )


def app_key_malformed() -> Stalled:
    """What should be an App's key is none: nothing can be signed with it."""
    return Stalled(
        Reason.APP_KEY_MALFORMED,
        "The App's id or private key is not what it must be: a number, and an RSA key of 2048 to 4096 bits in PEM"
        " without a passphrase. Nothing was sent. Store the key anew, as GitHub gave it.",
    )


def app_refused(host: str, app_id: int) -> Stalled:
    """GitHub does not take the key for the App's."""
    return Stalled(
        Reason.APP_REFUSED,
        f"{host} refuses the key of the App {app_id}: the id is wrong, or the key is another App's or was removed."
        " Correct the Secret.",
    )


def ca_malformed(host: str) -> Stalled:
    """The certificates to trust cannot be read."""
    return Stalled(
        Reason.CA_MALFORMED,
        f"The bundle of certificates for {host} cannot be read, and nothing was sent. Store the certificates in PEM.",
    )


def installation_not_found(host: str, which: str) -> Stalled:
    """Missing, another App's, and another account's: one sentence for all."""
    return Stalled(
        Reason.INSTALLATION_NOT_FOUND,
        f"{host} shows the App no installation {which}. Install the App there, or correct the reference.",
    )


def installation_suspended(host: str, which: str) -> Stalled:
    """The account's owner has stopped it."""
    return Stalled(
        Reason.INSTALLATION_SUSPENDED,
        f"The installation {which} is suspended at {host}, and gives no token. Its owner can resume it there.",
    )


def scope_refused(host: str, installation_id: int) -> Stalled:
    """The token would have been for more than the installation has, or was not for exactly what was asked."""
    return Stalled(
        Reason.SCOPE_REFUSED,
        f"{host} gives no token of the installation {installation_id} with exactly these repositories and permissions."
        " Ask for repositories and permissions that the installation has, or grant it more there.",
    )


def hooks_forbidden(host: str, repository: str) -> Stalled:
    """Missing, forbidden and invisible look the same for webhooks too."""
    return Stalled(
        Reason.HOOKS_FORBIDDEN,
        f"{host} does not let this token manage the webhooks of the repository {repository}. Give it that right: a"
        ' fine-grained token needs "Webhooks: read and write", a classic one the scope admin:repo_hook, and its owner'
        " must administer the repository, which must not be archived.",
    )


def hook_limit(host: str, repository: str) -> Stalled:
    """GitHub takes no more hooks for an event."""
    return Stalled(
        Reason.HOOK_LIMIT,
        f"The repository {repository} at {host} has as many webhooks as it may have. Remove one that is not needed.",
    )


def hook_exists(host: str, repository: str) -> Transient:
    """Somebody has just made it: a list shows it now."""
    return Transient(
        Reason.GITHUB_UNAVAILABLE,
        f"The repository {repository} at {host} has this webhook already. Its webhooks are listed again.",
    )


def hook_refused(host: str, repository: str) -> Transient:
    """Such as an address that GitHub does not send to."""
    return Transient(
        Reason.GITHUB_UNAVAILABLE,
        f"{host} does not take the webhook for the repository {repository}. It is tried again; the administrator can"
        " check that GitHub reaches MOORING_PUBLIC_BASE_URL.",
    )


def unavailable(host: str, why: str) -> Transient:
    """No usable answer."""
    return Transient(Reason.GITHUB_UNAVAILABLE, f"{host} {why}. It is asked again.")


def rate_limited(host: str, until: datetime) -> Waiting:
    """GitHub's limit."""
    return Waiting(
        Reason.RATE_LIMITED,
        f"The rate limit of {host} is reached for this credential. Continues at {_time(until)}.",
        until=until,
    )


def budget_spent(namespace: str, until: datetime) -> Waiting:
    """Our own limit."""
    return Waiting(
        Reason.BUDGET_SPENT,
        f"The namespace {namespace} has spent its share of requests to GitHub. Continues at {_time(until)}.",
        until=until,
    )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
