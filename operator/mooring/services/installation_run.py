"""What one run for a GitHubInstallation gathers."""

from __future__ import annotations

from dataclasses import dataclass, field

from mooring.domain.errors import Stalled, Trouble
from mooring.domain.resources.github_installation import GitHubInstallation
from mooring.ports import Object
from mooring.services.lending import Found
from mooring.services.store import Key, key_of
from mooring.services.token_secrets import Tended


@dataclass(slots=True)
class Run:
    """What one run gathered."""

    obj: Object
    installation: GitHubInstallation
    found: Found | None = None
    tended: Tended = field(default_factory=Tended)
    # Trouble with the installation itself, beside that of single Secrets.
    trouble: Trouble | None = None
    count: int | None = None
    outputs: int = 0
    clones: int = 0

    @property
    def key(self) -> Key:
        """Return the object's key."""
        return key_of(self.obj)

    @property
    def uid(self) -> str:
        """Return the object's uid."""
        return str(self.obj["metadata"]["uid"])

    def worst(self) -> Trouble | None:
        """Return the trouble to speak of first: what a person must mend before what passes by itself."""
        found = [self.trouble, *self.tended.troubles] if self.trouble is not None else self.tended.troubles
        stalled = next((trouble for trouble in found if isinstance(trouble, Stalled)), None)
        return stalled or next(iter(found), None)
