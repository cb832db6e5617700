"""Fetching GitHub's documents: verified, cut to what is kept, safe from what an archive may hold. No downloads."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lab.github import documents
from lab.github.documents import DocumentError, Package

FILES = {
    "package/LICENSE": b"l",
    "package/generated/a.json": b"{}",
    "package/b.js": b"x",
    "package/../../evil.json": b"e",
}


def archive(place: Path) -> tuple[Path, str]:
    """Write an npm archive and return it with its integrity."""
    place.mkdir(parents=True, exist_ok=True)
    file = place / "made.tgz"
    with tarfile.open(file, "w:gz") as tar:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return file, f"sha512-{base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()}"


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put an npm on the path that 'downloads' the archive made above; return the archive's integrity."""
    made, integrity = archive(tmp_path / "registry")
    script = tmp_path / "bin" / "npm"
    script.parent.mkdir()
    told = json.dumps([{"filename": made.name}])
    script.write_text(f"#!/bin/sh\ncp {made} .\necho '{told}'\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MOORING_CACHE_DIR", str(tmp_path / "cache"))
    return integrity


def test_a_package_is_fetched_once_and_cut_to_what_is_kept(fake_npm: str, tmp_path: Path) -> None:
    package = Package("@x/y", "1.0.0", fake_npm, ("LICENSE", "*.json"))
    found = documents.folder(package)
    kept = sorted(str(file.relative_to(found)) for file in found.rglob("*") if file.is_file())
    assert kept == ["LICENSE", "generated/a.json"]
    assert not list(tmp_path.rglob("evil.json"))
    (tmp_path / "bin" / "npm").unlink()
    assert documents.folder(package) == found


def test_another_archive_than_the_pinned_one_is_refused(fake_npm: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="not the archive that was pinned"):
        documents.folder(Package("@x/y", "1.0.0", "sha512-AAAA", ("*",)))
    assert not (tmp_path / "cache" / "documents" / "x-y-1.0.0").exists()
    assert not list((tmp_path / "cache" / "documents").glob(".fetch-*"))


def test_a_failing_npm_is_one_line_and_exit_2(fake_npm: str, tmp_path: Path) -> None:
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\necho 'npm error network down' >&2\nexit 1\n")
    command = [sys.executable, "-m", "lab.github.documents"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[4])
    problems = [line for line in done.stderr.splitlines() if "fetching" not in line]
    assert done.returncode == 2
    assert len(problems) == 1
    assert "npm error network down" in problems[0]


def test_the_pins_are_whole() -> None:
    for package in documents.PACKAGES.values():
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
        assert package.version[0].isdigit()
