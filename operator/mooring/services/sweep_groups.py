"""What is swept together: the repositories that one credential lists, or one alone where nothing lists it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from mooring.domain import projects as rules
from mooring.domain.fingerprints import fingerprint
from mooring.services.seen import Seen
from mooring.services.sources import Sources
from mooring.services.store import Key

# In status.webhook.via: a hook of the repository's own, which somebody may have removed.
_OWN_HOOK = "Repository"


class By(StrEnum):
    """What lists the repositories of a group."""

    # A clone Secret: its token reaches exactly the repositories of a namespace's Projects at one installation.
    INSTALLATION = "Installation"
    # A personal access token, which may reach many more.
    PERSON = "Person"
    # Nothing: git is asked for the branch.
    GIT = "Git"


class Group(NamedTuple):
    """What one credential lists, or one Project. It is the key in the queue of sweeps."""

    namespace: str
    by: By
    # The clone Secret, the token's fingerprint, or the Project.
    name: str
    # The API that a personal token is bound to.
    api_url: str = ""

    def __str__(self) -> str:
        """Name it for logs; a fingerprint is good within the namespace alone."""
        return f"{self.by} {self.namespace}/{self.name}"


@dataclass(slots=True)
class Followed:
    """What a Project follows. There is one for each, so it holds no object."""

    group: Group
    url: str
    branch: str
    head: str
    full_name: str
    repository_id: int | None
    private: bool | None
    # The spec names a commit: no push matters, but the repository is to stay the one that was proven.
    pinned: bool
    # Names the Project's own token where it may be sent to where the source is.
    mark: str | None
    # When the branch was last read, by GitHub's clock.
    read_at: datetime | None
    # The sweep of its group in which its hook was looked at last; None where it has none.
    hook: int | None = None

    def is_the_same(self, other: Followed) -> bool:
        """Tell whether another one speaks of the same branch of the same repository."""
        same = (self.repository_id, self.branch) == (other.repository_id, other.branch)
        return same and (self.repository_id is not None or self.url == other.url)


def mark_of(namespace: str, token: str) -> str:
    """Name a token within a namespace."""
    return fingerprint(namespace, token)


def followed(key: Key, seen: Seen, sources: Sources) -> Followed | None:
    """Return what a run found its Project to follow; None where there is nothing to sweep."""
    facts, token = seen.source, seen.resolution.token
    if facts is None or (facts.pin is not None and facts.repository_id is None):
        return None
    mark = None
    if token is not None and sources.fetches(seen.project, seen.resolution.api_url):
        mark = mark_of(key.namespace, token)
    read = [at for at in (facts.time_of_read(), seen.look.read_at if seen.look is not None else None) if at is not None]
    has_hook = (seen.status.get("webhook") or {}).get("via") == _OWN_HOOK
    return Followed(
        group=_group(key, seen, facts, mark),
        url=facts.url,
        branch=facts.branch,
        head=facts.head_sha,
        full_name=facts.full_name,
        repository_id=facts.repository_id,
        private=facts.private,
        pinned=facts.pin is not None,
        mark=mark,
        read_at=max(read, default=None),
        hook=0 if has_hook else None,
    )


def _group(key: Key, seen: Seen, facts: rules.SourceFacts, mark: str | None) -> Group:
    if seen.clone_secret is not None:
        return Group(key.namespace, By.INSTALLATION, seen.clone_secret)
    if facts.repository_id is not None and mark is not None:
        return Group(key.namespace, By.PERSON, mark, str(seen.resolution.api_url))
    return Group(key.namespace, By.GIT, key.name)
