"""The official envtest archive: API server, etcd and kubectl in one download, where the internet answers.

One try with short limits, and its published checksum must match; anything else means "build it". Nothing here raises.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lab import cache
from lab.binaries.progress import say
from lab.binaries.tools import KUBERNETES, TOOLS, target

INDEX = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
SILENCE_SECONDS = 5.0  # a host that says nothing for so long counts as unreachable
TOTAL_SECONDS = 300.0
INDEX_BYTES = 8 << 20
ARCHIVE_BYTES = 512 << 20
CHUNK = 1 << 20


class Unusable(Exception):
    """Why the archive is of no use."""


def folder() -> Path:
    """Where its binaries are kept: apart from built ones, since its etcd has a version of its own."""
    return cache.folder() / "bin" / f"envtest-{KUBERNETES.version}-{target()}"


def fetch(index: str | None = None) -> str | None:
    """Put the archive's binaries into the cache; the reason if that cannot be."""
    deadline = time.monotonic() + TOTAL_SECONDS
    try:
        entry = _entry(index or INDEX, deadline)
        say(f"downloading {urlsplit(entry['selfLink']).path.rpartition('/')[2]} (about 1 min)")
        folder().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder().parent, prefix=".envtest-") as scratch:
            packed = Path(scratch) / "archive.tar.gz"
            packed.write_bytes(_download(entry["selfLink"], ARCHIVE_BYTES, deadline))
            _check(packed, entry["hash"])
            _unpack(packed, Path(scratch) / "bin")
            _place(Path(scratch) / "bin")
    except Unusable as reason:
        return str(reason)
    except (OSError, tarfile.TarError, yaml.YAMLError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def _entry(index: str, deadline: float) -> dict[str, str]:
    """What the index says of our version and platform."""
    content: dict[str, Any] = yaml.safe_load(_download(index, INDEX_BYTES, deadline)) or {}
    version = KUBERNETES.version
    try:
        entry: dict[str, str] = content["releases"][version][f"envtest-{version}-{target()}.tar.gz"]
        return {"hash": entry["hash"].lower(), "selfLink": entry["selfLink"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"there is none for Kubernetes {version} on {target()}") from error


def _download(url: str, limit: int, deadline: float) -> bytes:
    if urlsplit(url).scheme not in {"https", "http"}:
        raise Unusable(f"its address is neither https nor http: {url}")
    parts: list[bytes] = []
    size = 0
    with urllib.request.urlopen(url, timeout=SILENCE_SECONDS) as answer:  # noqa: S310 - the scheme is checked above
        while chunk := answer.read(CHUNK):
            size += len(chunk)
            parts.append(chunk)
            if size > limit:
                raise Unusable(f"it is larger than {limit >> 20} MB")
            if time.monotonic() > deadline:
                raise Unusable(f"it takes longer than {TOTAL_SECONDS:.0f} s")
    return b"".join(parts)


def _check(packed: Path, published: str) -> None:
    with packed.open("rb") as file:
        if hashlib.file_digest(file, "sha512").hexdigest() != published:
            raise Unusable("its checksum is not the published one")


def _unpack(packed: Path, into: Path) -> None:
    """Take the binaries that we know, by their last name, and nothing else."""
    into.mkdir()
    with tarfile.open(packed) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            if name in TOOLS and TOOLS[name].in_archive and member.isfile():
                source = tar.extractfile(member)
                if source:
                    with source, (into / name).open("wb") as file:
                        shutil.copyfileobj(source, file)
                    (into / name).chmod(0o755)
    missing = {tool.name for tool in TOOLS.values() if tool.in_archive} - set(os.listdir(into))  # noqa: PTH208 - names
    if missing:
        raise Unusable(f"it lacks {', '.join(sorted(missing))}")


def _place(binaries: Path) -> None:
    """Show the finished folder to everybody in one step."""
    if folder().exists():
        shutil.rmtree(folder())
    binaries.rename(folder())
