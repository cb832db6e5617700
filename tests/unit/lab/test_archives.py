"""Images as files, without anything that runs them; and what a machine must have before any are made."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from lab import Lab, images
from lab.archives import Contents, program_layer, write_archive
from lab.errors import UsageError
from lab.folder import Folder, State


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def archive(folder: Path, program: Path, name: str = "example.test/run:1") -> Path:
    folder.mkdir()
    layer = program_layer(folder / "layer.tar", program)
    return write_archive(folder / "image.tar", name, Contents(layer, ["/run"]))


def content(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {name: (tar.extractfile(name) or io.BytesIO()).read() for name in tar.getnames()}


def test_an_archive_says_what_is_in_it(tmp_path: Path, program: Path) -> None:
    files = content(archive(tmp_path / "one", program))
    [image] = json.loads(files["manifest.json"])
    assert image["RepoTags"] == ["example.test/run:1"]
    config, [layer] = json.loads(files[image["Config"]]), image["Layers"]
    assert image["Config"] == hashlib.sha256(files[image["Config"]]).hexdigest() + ".json"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(files[layer]).hexdigest()}"]
    assert config["config"] == {"Entrypoint": ["/run"]}
    assert config["created"] == config["history"][0]["created"], "without, a builder caches nothing that is built on it"
    with tarfile.open(fileobj=io.BytesIO(files[layer])) as tar:
        [inside] = tar.getmembers()
    assert (inside.name, inside.mode, inside.uid) == ("run", 0o755, 0)


def test_the_same_program_makes_the_same_image(tmp_path: Path, program: Path) -> None:
    first = archive(tmp_path / "one", program)
    os.utime(program, (0, 0))
    assert first.read_bytes() == archive(tmp_path / "two", program).read_bytes()


def test_the_name_is_read_back(tmp_path: Path, program: Path) -> None:
    assert images.name_of(archive(tmp_path / "one", program, "example.test/other:2")) == "example.test/other:2"


@pytest.mark.parametrize("text", [b"", b"no tar", None])
def test_what_is_no_archive_is_refused(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "image.tar"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(UsageError, match=f"{path} is no docker-archive with a named image"):
        images.name_of(path)


def test_images_are_made_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="making images needs root: run it as root"):
        images.base_image()


def test_what_the_machine_lacks_for_images_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="needs mmdebstrap, which this machine lacks: run `make node-deps` as root"):
        images.base_image()


def test_images_are_for_real_nodes(tmp_path: Path, program: Path) -> None:
    folder = Folder(tmp_path)
    folder.write_state(State(nodes="none", github=False, phase="ready"))
    with pytest.raises(UsageError, match="has no real node to load images into: start it with --nodes real"):
        images.load(Lab(folder, {}), archive(tmp_path / "one", program))
