"""What is to be checked out: the command's arguments, judged before anything is done with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mooring.checkout.failures import BadRequest
from mooring.checkout.words import named
from mooring.domain import origins
from mooring.domain.origins import AllowedHosts, BadUrl, Host

_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_PATH = 512
# The same as spec.source.path refuses.
_REFUSED = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class Request:
    """One commit of one repository, and where it goes."""

    url: str
    revision: str
    destination: Path
    path: str | None = None
    credential_file: Path | None = None
    submodules: bool = False
    lfs: bool = False
    ca_file: Path | None = None
    """Authorities to trust beside the system's."""
    lfs_stores: frozenset[Host] = frozenset()
    """Hosts beside the repository's own that large files may come from; they never get the credential."""

    def authorities(self) -> Path | None:
        """Return the file of `ca_file` where it is there: a pod names one that may come, and go again."""
        file = self.ca_file
        return file if file is not None and file.is_file() and file.stat().st_size else None

    @property
    def host(self) -> Host:
        """Return the one place that the credential goes to."""
        return origins.host_of(self.url)


def request(
    *,
    url: str,
    revision: str,
    destination: str,
    path: str | None = None,
    credential_file: str | None = None,
    submodules: bool = False,
    lfs: bool = False,
    ca_file: str | None = None,
    lfs_stores: Iterable[str] = (),
) -> Request:
    """Return what the arguments ask for; raise BadRequest."""
    if not _REVISION.fullmatch(revision):
        raise BadRequest("--revision must be a whole commit id: 40 (or 64) lower-case hexadecimal digits")
    try:
        stores = frozenset(origins.parse_host(store) for store in lfs_stores)
    except BadUrl as problem:
        raise BadRequest(f"--lfs-store: {problem}") from None
    return Request(
        url=repository_url(url, "--url"),
        revision=revision,
        destination=_absolute("--destination", destination),
        path=None if path is None else folder(path),
        credential_file=None if credential_file is None else _absolute("--credential-file", credential_file),
        submodules=submodules,
        lfs=lfs,
        ca_file=None if ca_file is None else _absolute("--ca-file", ca_file),
        lfs_stores=stores,
    )


def repository_url(text: str, what: str) -> str:
    """Return a repository's URL in its one form; raise BadRequest."""
    try:
        return origins.git_url(text, AllowedHosts(frozenset({origins.host_of(text)}), frozenset()))
    except BadUrl as problem:
        raise BadRequest(f"{what}: {problem}") from None


def folder(text: str) -> str | None:
    """Return a path inside the repository in its one form, None for all of it; raise BadRequest."""
    parts = [part for part in text.split("/") if part not in {"", "."}]
    plain = not _REFUSED.search(text)
    if text.startswith("/") or len(text) > _MAX_PATH or not plain or ".." in parts:
        raise BadRequest(
            f"--path={named(text)} must be a path inside the repository: relative, with '/', without '..' or '\\',"
            f" at most {_MAX_PATH} characters"
        )
    return "/".join(parts) or None


def _absolute(option: str, text: str) -> Path:
    # A Path made of text with NUL fails only when it is used.
    if not text.startswith("/") or not text.isprintable() or ".." in text.split("/"):
        raise BadRequest(f"{option}={named(text)} must be an absolute path without '..'")
    return Path(text)
