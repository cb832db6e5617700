"""Which token of an installation somebody may have: how wide a wish may be, and which wishes are the same.

The algebra. A set of permissions is a map from name to level (read < write < admin; a name that is missing is below
read); a set of repositories is a list of full names without regard to case. None is the widest of either: all that
there is. Three parties set ceilings: the spec of the GitHubInstallation, the administrator's binding, and GitHub.

- A wish is taken as it is, or refused: it is never cut down in silence. Whoever asks for `contents: write` and got
  `read` would find out in the middle of a push.
- Without a wish there is the meet of the ceilings: for each permission the lowest level, the repositories in all of
  them. What a ceiling names and GitHub never granted is left out: a ceiling allows, it does not ask.
- None is the answer only where neither the spec nor the binding narrows. An empty set is never an answer: GitHub may
  read an empty list as no list, which is everything.
- `metadata: read` comes with every token that reaches a repository, so a ceiling that names anything admits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from mooring.domain.errors import Stalled
from mooring.domain.grants import is_granted
from mooring.domain.installations import InstallationFacts
from mooring.domain.policy import Binding
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import (
    GitHubInstallation,
    GitHubInstallationSpec,
    InstallationGrant,
    TokenOutput,
)

# GitHub's limit for the repositories of one token.
MOST_REPOSITORIES = 500
# Names in one message; more would not be read.
NAMED_AT_MOST = 5

CLONE_PERMISSIONS: Mapping[str, str] = {"contents": "read", "metadata": "read"}
# What a grant without permissions gives. The same words today, and another promise.
_GRANTED_BY_DEFAULT: Mapping[str, str] = {"contents": "read", "metadata": "read"}

_LEVELS = {"read": 1, "write": 2, "admin": 3}
_ALWAYS_THERE = ("metadata", "read")
_REQUEST = "mooring.dev/token-request/v1"
_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token may do, and where. None is all that the installation has."""

    permissions: Mapping[str, str] | None
    # Full names as they were asked for, in order, without regard to case.
    repositories: tuple[str, ...] | None


# --- outputs ---


def output_scope(
    spec: GitHubInstallationSpec, output: TokenOutput, binding: Binding | None, facts: InstallationFacts
) -> Scope:
    """Return what an output's token may do; raise Stalled where that is more than somebody allows."""
    return Scope(_output_permissions(spec, output, binding, facts), _output_repositories(spec, output, binding, facts))


def _output_permissions(
    spec: GitHubInstallationSpec, output: TokenOutput, binding: Binding | None, facts: InstallationFacts
) -> Mapping[str, str] | None:
    lent = binding.permissions if binding is not None else None
    wish = output.permissions
    if wish is None:
        return _narrowest_permissions(spec.permissions, lent, facts)
    field = _field(output, "permissions")
    if not wish:
        raise _nothing_asked(field)
    if excess := _excess(wish, spec.permissions):
        raise Stalled(
            Reason.INVALID_SPEC, f"{field}: {excess} is more than spec.permissions allows. Change one of them."
        )
    if excess := _excess(wish, lent):
        raise _permissions_not_allowed(field, excess)
    if excess := _lacking(wish, facts):
        raise _permissions_missing(field, excess, facts)
    return dict(sorted(wish.items()))


def _narrowest_permissions(
    own: Mapping[str, str] | None, lent: Mapping[str, str] | None, facts: InstallationFacts
) -> Mapping[str, str] | None:
    if own is not None and not own:
        raise _nothing_asked("spec.permissions")
    if own is None and lent is None:
        return None
    allowed = own if lent is None else lent if own is None else _meet(own, lent)
    if not allowed:
        raise Stalled(
            Reason.NOT_ALLOWED,
            "spec.permissions and the administrator's policy have no permission in common, so there is no token."
            " Change spec.permissions, or ask the administrator.",
        )
    if not (left := _meet(allowed, facts.permissions)):
        raise _permissions_missing("spec.permissions and the policy", _shown(sorted(allowed)), facts)
    return left


def _output_repositories(
    spec: GitHubInstallationSpec, output: TokenOutput, binding: Binding | None, facts: InstallationFacts
) -> tuple[str, ...] | None:
    if output.repositories is None:
        return _narrowest_repositories(spec.repositories, binding, facts)
    field = _field(output, "repositories")
    wish = _in_order(output.repositories)
    if not wish:
        raise _nothing_asked(field)
    _check_owner(field, wish, facts)
    if spec.repositories is not None:
        within = {name.casefold() for name in spec.repositories}
        if outside := [name for name in wish if name.casefold() not in within]:
            raise Stalled(
                Reason.INVALID_SPEC,
                f"{field}: {_shown(outside)} is not among spec.repositories. Change one of them.",
            )
    if binding is not None and (outside := [name for name in wish if not binding.covers(name)]):
        raise _repositories_not_allowed(field, _shown(outside))
    return wish


def _narrowest_repositories(
    own: Sequence[str] | None, binding: Binding | None, facts: InstallationFacts
) -> tuple[str, ...] | None:
    if own is None:
        return _lent_repositories(binding, facts)
    names = _in_order(own)
    if not names:
        raise _nothing_asked("spec.repositories")
    _check_owner("spec.repositories", names, facts)
    left = tuple(name for name in names if binding is None or binding.covers(name))
    if not left:
        raise _repositories_not_allowed("spec.repositories", _shown(names))
    return _held_to_limit(left)


def _lent_repositories(binding: Binding | None, facts: InstallationFacts) -> tuple[str, ...] | None:
    """Return what the binding lends of this account; None for all of it."""
    if binding is None or binding.repositories is None:
        return None
    lent = [name for name in binding.repositories if _owner(name) == facts.account_login.casefold()]
    if any(name.endswith("/*") for name in lent):
        return None
    if not lent:
        raise _repositories_not_allowed("spec", f"every repository of {facts.account_login}")
    return _held_to_limit(_in_order(lent))


def _held_to_limit(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > MOST_REPOSITORIES:
        raise Stalled(
            Reason.SCOPE_REFUSED,
            f"{len(names)} repositories are more than GitHub's {MOST_REPOSITORIES} for one token."
            " Name those that are needed in the output's repositories.",
        )
    return names


# --- clones ---


def may_refer(installation: GitHubInstallation, consumer: str, labels: Mapping[str, str] | None) -> bool:
    """Tell whether a namespace may know of an installation: its own, or one of which something is granted to it."""
    return is_granted(
        [grant.namespaces for grant in installation.spec.grants],
        owner=str(installation.metadata.namespace),
        consumer=consumer,
        labels=labels,
    )


def grants_repository(
    installation: GitHubInstallation,
    *,
    consumer: str,
    labels: Mapping[str, str] | None,
    full_name: str,
    binding: Binding | None,
) -> bool:
    """Tell whether a namespace may have this repository's contents: within each ceiling, and granted to others.

    One grant has to give it all: the namespace, the repository and `contents: read`. Two halves make no grant.
    """
    name, own = full_name.casefold(), installation.spec.repositories
    if own is not None and name not in {entry.casefold() for entry in own}:
        return False
    if binding is not None and not binding.covers(full_name):
        return False
    owner = str(installation.metadata.namespace)
    return owner == consumer or any(
        _gives_contents(grant, name) and is_granted([grant.namespaces], owner=owner, consumer=consumer, labels=labels)
        for grant in installation.spec.grants
    )


def clone_scope(
    installation: GitHubInstallation,
    facts: InstallationFacts,
    *,
    consumer: str,
    labels: Mapping[str, str] | None,
    full_name: str,
    binding: Binding | None,
) -> Scope:
    """Return what a Project's clone credential may do; raise Stalled where it may have none.

    One Project at a time, so that one that asks for too much takes nothing from the others. Another namespace hears no
    more than it could find out anyway: what exists and is not granted reads like what does not exist.
    """
    shown = shown_to(consumer, str(installation.metadata.namespace), installation.metadata.name)
    if not may_refer(installation, consumer, labels):
        raise not_found(shown)
    local = installation.metadata.namespace == consumer
    if (trouble := _no_clones(installation, facts, binding, shown)) is not None:
        raise trouble if local else not_ready(shown)
    granted = (
        grants_repository(installation, consumer=consumer, labels=labels, full_name=full_name, binding=binding)
        and _owner(full_name) == facts.account_login.casefold()
    )
    if not granted:
        raise not_covered(shown, full_name)
    return Scope(dict(CLONE_PERMISSIONS), (full_name,))


def _no_clones(
    installation: GitHubInstallation, facts: InstallationFacts, binding: Binding | None, shown: str
) -> Stalled | None:
    """Say why an installation gives nobody a clone credential."""
    if excess := _excess(CLONE_PERMISSIONS, installation.spec.permissions):
        return Stalled(
            Reason.INVALID_SPEC,
            f"{shown}: its spec.permissions does not allow {excess}, which a clone needs. Add it, or remove the"
            " ceiling.",
        )
    if excess := _excess(CLONE_PERMISSIONS, binding.permissions if binding is not None else None):
        return _permissions_not_allowed(f"{shown} (clones)", excess)
    if excess := _lacking(CLONE_PERMISSIONS, facts):
        return _permissions_missing(f"{shown} (clones)", excess, facts)
    return None


def _gives_contents(grant: InstallationGrant, name: str) -> bool:
    permissions = grant.permissions if grant.permissions is not None else _GRANTED_BY_DEFAULT
    return not _excess(CLONE_PERMISSIONS, permissions) and any(
        name.startswith(entry[:-1]) if entry.endswith("/*") else name == entry
        for entry in (listed.casefold() for listed in grant.repositories)
    )


def shown_to(consumer: str, namespace: str, name: str) -> str:
    """Name an installation to somebody of a namespace."""
    return f"GitHubInstallation {name}" if namespace == consumer else f"GitHubInstallation {namespace}/{name}"


def not_found(shown: str) -> Stalled:
    """Missing, forbidden and invisible: one sentence for all three."""
    return Stalled(
        Reason.INSTALLATION_NOT_FOUND,
        f"{shown} does not exist, or does not grant its use to this namespace. Correct spec.installationRef, or ask its"
        " owner.",
    )


def not_ready(shown: str) -> Stalled:
    """What keeps it is its owner's affair."""
    return Stalled(Reason.INSTALLATION_NOT_READY, f"{shown} gives no clone credential: see its own conditions.")


def not_covered(shown: str, full_name: str) -> Stalled:
    """Missing, not covered and not granted: one sentence for all three."""
    return Stalled(
        Reason.REPOSITORY_NOT_COVERED,
        f"{shown} gives no token for {full_name}: it does not cover the repository, or it is not for this namespace."
        " Correct the repository, or ask the owner of the installation.",
    )


# --- which wishes are the same ---


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What has to be equal for two to share a token. Anything less would hand one tenant's token to another."""

    api_url: str
    # Identity and version of the App's Secret, with a hash of the key in it.
    source: str
    installation_id: int
    repository_ids: tuple[int, ...] | None
    permissions: tuple[tuple[str, str], ...] | None
    namespace: str


def token_key(
    *,
    api_url: str,
    source: str,
    installation_id: int,
    repository_ids: Iterable[int] | None,
    permissions: Mapping[str, str] | None,
    namespace: str,
) -> TokenKey:
    """Return the key, the same for every order of what was asked for."""
    return TokenKey(
        api_url=api_url,
        source=source,
        installation_id=installation_id,
        repository_ids=None if repository_ids is None else tuple(sorted(set(repository_ids))),
        permissions=None if permissions is None else tuple(sorted(permissions.items())),
        namespace=namespace,
    )


def request_digest(
    *,
    api_url: str,
    app_id: int,
    installation_id: int,
    account_id: int,
    permissions: Mapping[str, str] | None,
    repositories: Iterable[str] | None,
) -> str:
    """Name what a token was asked for with, so that a restart tells a token that still fits from one that does not.

    Neither the App's key nor its Secret is in it: a rotated key forces no new tokens.
    """
    levels = None if permissions is None else [f"{name}={level}" for name, level in sorted(permissions.items())]
    names = None if repositories is None else sorted({name.casefold() for name in repositories})
    parts = [_REQUEST, api_url, str(app_id), str(installation_id), str(account_id), *_listed(levels), *_listed(names)]
    # Each part is preceded by its length, and each list by its own, so that no two requests read the same.
    framed = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return sha256(framed).hexdigest()[:_DIGEST_LENGTH]


def _listed(entries: Sequence[str] | None) -> list[str]:
    return ["*"] if entries is None else [str(len(entries)), *entries]


# --- levels and names ---


def _meet(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return the permissions in both, each at the lower level; a level that nobody knows is none."""
    return {
        name: min(first[name], second[name], key=lambda level: _LEVELS[level])
        for name in sorted(first.keys() & second.keys())
        if first[name] in _LEVELS and second[name] in _LEVELS
    }


def _excess(wish: Mapping[str, str], ceiling: Mapping[str, str] | None) -> str:
    """Name what of a wish is above a ceiling; empty where nothing is."""
    if ceiling is None:
        return ""
    above = [entry for entry in _above(wish, ceiling) if not ceiling or entry != _ALWAYS_THERE]
    return _shown([f"{name}: {level}" for name, level in above])


def _lacking(wish: Mapping[str, str], facts: InstallationFacts) -> str:
    """Name what of a wish GitHub has not granted. Taken at its word: GitHub refuses what is not there."""
    return _shown([f"{name}: {level}" for name, level in _above(wish, facts.permissions)])


def _above(wish: Mapping[str, str], ceiling: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (name, level)
        for name, level in sorted(wish.items())
        if level not in _LEVELS or _LEVELS[level] > _LEVELS.get(ceiling.get(name, ""), 0)
    ]


def _owner(name: str) -> str:
    return name.partition("/")[0].casefold()


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name once, as it was first spelled."""
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(name.casefold(), name)
    return tuple(spelled[key] for key in sorted(spelled))


def _shown(names: Sequence[str]) -> str:
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _field(output: TokenOutput, name: str) -> str:
    return f"spec.outputs[{output.secret_name}].{name}"


def _check_owner(field: str, names: Iterable[str], facts: InstallationFacts) -> None:
    """An installation reaches the repositories of its own account; neither owner nor administrator can change that."""
    if foreign := [name for name in names if _owner(name) != facts.account_login.casefold()]:
        raise Stalled(
            Reason.REPOSITORY_NOT_COVERED,
            f"{field}: {_shown(foreign)} is not of {facts.account_login}, whose installation this is. Correct the name,"
            " or use the installation of its owner.",
        )


def _nothing_asked(field: str) -> Stalled:
    return Stalled(Reason.INVALID_SPEC, f"{field} is empty, which leaves no token. Name something, or leave it out.")


def _permissions_not_allowed(field: str, excess: str) -> Stalled:
    return Stalled(
        Reason.NOT_ALLOWED,
        f"{field}: the administrator's policy does not allow {excess} with this installation. Ask for less, or ask the"
        " administrator.",
    )


def _repositories_not_allowed(field: str, names: str) -> Stalled:
    return Stalled(
        Reason.NOT_ALLOWED,
        f"{field}: the administrator's policy does not lend {names} to this namespace. Ask for others, or ask the"
        " administrator.",
    )


def _permissions_missing(field: str, lacking: str, facts: InstallationFacts) -> Stalled:
    return Stalled(
        Reason.PERMISSION_MISSING,
        f"{field}: the installation on {facts.account_login} does not have {lacking}. Grant it at GitHub, or ask for"
        " less.",
    )
