"""Images as files: a docker-archive is a tar of one layer's tar, its configuration, and a manifest with its name."""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.binaries.tools import target
from lab.errors import UsageError

MANIFEST = "manifest.json"
CREATED = "1970-01-01T00:00:00Z"  # a builder that finds no time here finds nothing in its cache, either


@dataclass(frozen=True)
class Contents:
    """What is in an image: one layer as a tar file, and what runs by default."""

    layer: Path
    command: Sequence[str] = ()


def write_archive(path: Path, name: str, contents: Contents) -> Path:
    """Write a docker-archive that holds one image of this name."""
    with contents.layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(_config(digest, contents.command)).encode()
    names = {"config": f"{hashlib.sha256(config).hexdigest()}.json", "layer": f"{digest}.tar"}
    manifest = [{"Config": names["config"], "RepoTags": [name], "Layers": [names["layer"]]}]
    draft = path.with_name(f".{path.name}.new")
    with tarfile.open(draft, "w") as tar:
        tar.add(contents.layer, names["layer"], filter=_plain)
        _add(tar, names["config"], config)
        _add(tar, MANIFEST, json.dumps(manifest).encode())
    return draft.replace(path)


def described(archive: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the configuration of the image in an archive."""
    try:
        with tarfile.open(archive) as tar:
            manifest = json.loads(_text(tar, MANIFEST))[0]
            return manifest, json.loads(_text(tar, manifest["Config"]))
    except (OSError, tarfile.TarError, KeyError, ValueError, IndexError, TypeError) as error:
        raise UsageError(f"{archive} is no docker-archive with a named image: {error!r}") from error


def program_layer(path: Path, binary: Path) -> Path:
    """The layer of an image that has nothing but one static program, in its root."""
    with tarfile.open(path, "w") as tar:
        tar.add(binary, binary.name, filter=_plain)
    return path


def _config(digest: str, command: Sequence[str]) -> dict[str, Any]:
    system, _, architecture = target().partition("-")
    return {
        "created": CREATED,
        "architecture": architecture,
        "os": system,
        "config": {"Entrypoint": [*command]} if command else {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": CREATED, "created_by": "mooring lab"}],
    }


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nobody's in particular, and of no time, so that the same content makes the same image."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def _text(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    return content.read() if content else b""


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
