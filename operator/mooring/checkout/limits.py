"""How much a checkout may take. What a stranger has pushed decides how much it wants."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.checkout.failures import Failed

MAX_SECONDS = 600.0
"""In all, waiting included: a pod that has no source after ten minutes had better say so."""
MAX_BYTES = 2 * 2**30
"""Packs, files and large files together. The workspace lies on the node's disk, which other pods live on too."""
MAX_FILES = 200_000
"""Each takes an inode of the node, and a look at each takes time; the largest monorepos have about as many."""
MAX_SUBMODULES = 50
"""Each is a repository that is asked for on its own."""
MAX_DEPTH = 5
"""Submodules of submodules: a repository may name itself."""
MAX_LISTING = 64 * 2**20
"""Bytes of names: ten trees of ten names each, one below the other, are ten thousand million files."""
MAX_LINKS = 8 * 2**20
"""Bytes of all symbolic links' targets: they are held in memory together."""
MAX_LINK = 4095
"""A longer path is none for the kernel."""
CREDENTIAL_SECONDS = 150.0
"""The kubelet brings a changed Secret into the pod within two minutes; some seconds for whoever changes it."""
CREDENTIAL_POLL = 1.0
PASSING_ATTEMPTS = 5
"""With a growing pause between them: some 15 seconds. The kubelet starts the container again after that."""
FIRST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one checkout; tests make them small."""

    seconds: float = MAX_SECONDS
    size: int = MAX_BYTES
    files: int = MAX_FILES
    submodules: int = MAX_SUBMODULES


class Budget:
    """What is left of bytes, files and submodules."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size = self._files = self._submodules = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self._limits.size - self._size

    def take_bytes(self, size: int, what: str) -> None:
        """Count bytes; raise Failed where they are too many."""
        self._size += size
        if self._size > self._limits.size:
            raise self.too_large(what)

    def too_large(self, what: str) -> Failed:
        """Return what to say where there are too many bytes."""
        limit = f"{self._limits.size / 2**20:,.0f} MiB"
        return Failed(
            f"{what} is too large: with it the workspace would have more than {limit}."
            " Name a folder in spec.source.path, or keep large files elsewhere"
        )

    def take_files(self, count: int, what: str) -> None:
        """Count files; raise Failed where they are too many."""
        self._files += count
        if self._files > self._limits.files:
            raise Failed(
                f"{what} has too many files: more than {self._limits.files:,} in all. Name a folder in spec.source.path"
            )

    def take_submodule(self, what: str) -> None:
        """Count a submodule; raise Failed where they are too many."""
        self._submodules += 1
        if self._submodules > self._limits.submodules:
            raise Failed(f"{what} is one submodule too many: {self._limits.submodules} are allowed in all")
