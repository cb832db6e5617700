"""Images for real nodes, made on this machine without a registry: a base from Debian packages, builds on it, loading.

    base = images.base_image()
    archive = images.build(Path("Dockerfile"), Path("."), "example:1", base, {"BASE_IMAGE": images.name_of(base)})
    images.load(lab, archive)

Everything is a docker-archive. Root is needed throughout, as it is for the node itself.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab import binaries, cache
from lab.archives import Contents, described, write_archive
from lab.binaries.progress import duration, say
from lab.binaries.tools import target
from lab.errors import LabError, UsageError
from lab.folder import tail
from lab.handle import Lab
from lab.kubernetes.real.inside import import_image, name_image
from lab.processes import bound_to_me

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "git", "python3")
PYTHON_VERSION = "3.11"  # of that suite
BASE_NAME = "mooring.dev/lab/base"
BASES_KEPT = 3  # of other checkouts, too; the one made longest ago goes first
BASE_FORM = "3"  # of the archive; another number makes it anew
# Every node has the base in its memory, and nobody reads there.
LEFT_OUT = ("doc", "info", "locale", "man")
STORE_BYTES = 4 << 30  # above this the builder starts with an empty store again
BASE_SECONDS = 1800.0
BUILD_SECONDS = 1800.0
PLATFORMS = {"linux-amd64": "x86_64", "linux-arm64": "aarch64"}


def base_image(suite: str = SUITE, packages: Sequence[str] = PACKAGES) -> Path:
    """A minimal Debian with these packages, as an image. Made once, then kept in the cache."""
    require("mmdebstrap")
    key = hashlib.sha256("\0".join([BASE_FORM, suite, target(), *sorted(packages)]).encode()).hexdigest()[:16]
    path = _home() / f"base-{suite}-{key}.tar"
    with _alone("base"):
        if not path.exists():
            _make_base(path, f"{BASE_NAME}:{suite}-{key}", suite, packages)
    return path


def build(
    dockerfile: Path,
    context: Path,
    tag: str,
    base: Path,
    args: Mapping[str, str] | None = None,
    *,
    volumes: Mapping[Path, str] | None = None,
    copied: Sequence[str] = (),
) -> Path:
    """Build a Dockerfile whose base is in the archive `base`; what comes of it is an archive in the cache.

    `args` are build arguments. `volumes` are folders or files of this machine that RUN sees and the image lacks.
    `copied` names all in the context that the Dockerfile copies: as long as none of that has changed, nothing is done.
    """
    require("buildah")
    result = kept(tag)
    stamp = result.with_suffix(".made-of")
    made_of = _fingerprint(
        [dockerfile, *(context / name for name in copied)], [name_of(base), repr(args), repr(volumes)]
    )
    with _alone("build"):
        if copied and result.exists() and stamp.exists() and stamp.read_text() == made_of:
            return result
        _limit_store()
        _provide(base)
        # Steps whose input is what it was come from the builder's cache.
        _buildah(
            "build", "--isolation=chroot", "--pull-never", "--format=docker", "--layers", f"--tag={tag}",
            *(f"--build-arg={name}={value}" for name, value in (args or {}).items()),
            *(f"--volume={host.absolute()}:{there}:ro" for host, there in (volumes or {}).items()),
            f"--file={dockerfile.absolute()}", str(context.absolute()),
        )  # fmt: skip
        draft = result.with_name(f".{result.name}.new")
        draft.unlink(missing_ok=True)  # buildah adds to an archive that is there
        _buildah("push", tag, f"docker-archive:{draft}:{tag}")
        stamp.unlink(missing_ok=True)
        draft.replace(result)
        stamp.write_text(made_of)
        return result


def kept(tag: str) -> Path:
    """Where the archive of a build is, once there is one."""
    return _home() / f"{hashlib.sha256(tag.encode()).hexdigest()[:16]}.tar"


def load(lab: Lab, archive: Path) -> None:
    """Give an archive's image to the lab's node. Pods name it as `name_of` does, with imagePullPolicy Never."""
    _require_node(lab)
    import_image(lab.folder, binaries.find("ctr"), archive.absolute())


def name_again(lab: Lab, name: str, another: str) -> None:
    """Let pods name an image of the lab's node by another name as well."""
    _require_node(lab)
    name_image(lab.folder, binaries.find("ctr"), name, another)


def name_of(archive: Path) -> str:
    """The name of the image in an archive."""
    manifest, _ = described(archive)
    try:
        name: str = manifest["RepoTags"][0]
    except (KeyError, IndexError, TypeError) as error:
        raise UsageError(f"{archive} is no docker-archive with a named image: {error!r}") from error
    return name


def wheels(requirements: Path, into: Path) -> Path:
    """Fetch what a requirements file pins for the base's Python, from wherever this machine's pip gets packages.

    A build then needs no network: `build(..., volumes={into: "/wheels"})`, and `pip install --no-index --find-links`.
    """
    platform = PLATFORMS.get(target(), target())
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON_VERSION}"),
        *(f"--platform=manylinux_2_{minor}_{platform}" for minor in range(36, 16, -1)),
        *(f"--platform=manylinux2014_{platform}", "--dest", str(into), "-r", str(requirements)),
    ]
    _run(command, "wheels", BUILD_SECONDS, f"fetching what {requirements} pins")
    return into


def _require_node(lab: Lab) -> None:
    state = lab.folder.state()
    if state is None or state.nodes != "real":
        raise UsageError(
            f"the lab in {lab.folder.path} has no real node to load images into: start it with --nodes real"
        )


def _make_base(path: Path, name: str, suite: str, packages: Sequence[str]) -> None:
    say(f"making a base image of {suite} with {', '.join(packages)} (about 1 min, once)")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".base-") as scratch:
        layer = Path(scratch) / "layer.tar"
        smaller = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
        wanted = ["--variant=minbase", f"--include={','.join(packages)}", *smaller]
        command = ["mmdebstrap", "--quiet", *wanted, suite, str(layer)]
        _run(_apart(command), "mmdebstrap", BASE_SECONDS, f"making a root file system of {suite}")
        write_archive(path, name, Contents(layer))
    made = sorted(path.parent.glob("base-*.tar"), key=lambda one: one.stat().st_mtime, reverse=True)
    for old in made[BASES_KEPT:]:
        old.unlink()


def _fingerprint(places: Sequence[Path], words: Sequence[str]) -> str:
    """A digest of words, and of files and folders with all that is in them; compiled Python is no part of it."""
    digest = hashlib.sha256(repr(words).encode())
    for place in places:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                head = f"\0{path.relative_to(place.parent)}\0{path.stat().st_mode & 0o777:o}\0"
                digest.update(head.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _limit_store() -> None:
    """Forget all that the builder keeps when it has become too much: the next build is a slow one, and no more."""
    store = _home() / "store"
    if store.exists() and _size_of(store) > STORE_BYTES:
        say("the builder's store has grown too large: starting with an empty one")
        shutil.rmtree(store)


def _size_of(folder: Path) -> int:
    """What the files in a folder take, each counted once: layers share files by hard links."""
    files = {}
    for place, _, names in os.walk(folder):
        for name in names:
            found = os.lstat(os.path.join(place, name))  # noqa: PTH118 - tens of thousands of them
            files[found.st_ino] = found.st_size
    return sum(files.values())


def _provide(base: Path) -> None:
    """Let the builder know the base; it keeps it from one build to the next."""
    name = name_of(base)
    stamp = (
        _home() / "store" / "base-images" / hashlib.sha256(f"{name}\0{base.stat().st_mtime_ns}".encode()).hexdigest()
    )
    if not stamp.exists():
        _buildah("pull", "--quiet", f"docker-archive:{base.absolute()}")
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()


def _buildah(command: str, *arguments: str) -> None:
    """Run one command of buildah's on a store of the cache's own."""
    store = _home() / "store"
    options = [f"--root={store / 'root'}", f"--runroot={store / 'run'}", "--storage-driver=overlay"]
    _run(_apart(["buildah", *options, command, *arguments]), "buildah", BUILD_SECONDS, f"buildah {command}")


def _apart(command: Sequence[str]) -> list[str]:
    """In a mount namespace of its own, so that what the command mounts is gone with it."""
    return ["unshare", "--mount", "--propagation=slave", *command]


def _run(command: Sequence[str], name: str, seconds: float, what: str) -> None:
    """Run something that takes its time; its output is worth showing only when it fails."""
    log = cache.folder() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                bound_to_me(command, tree=True),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PATH": path},
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{what} took over {duration(seconds)} and was stopped; see {log}") from error
    if done.returncode != 0:
        lines = "".join(f"\n  {line}" for line in tail(log, 20))
        raise LabError(f"{what} failed; {log} ends with:{lines}")


@contextlib.contextmanager
def _alone(work: str) -> Iterator[None]:
    """Two labs never do the same work at once, and the builder's store has one user at a time."""
    with (_home() / f".{work}.lock").open("w") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that works on images ({work})")
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def _home() -> Path:
    folder = cache.folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def require(*commands: str) -> None:
    """Refuse a machine that cannot make images: by default any image."""
    if os.geteuid() != 0:
        raise UsageError("making images needs root: run it as root")
    for command in commands or ("mmdebstrap", "buildah"):
        if not shutil.which(command):
            raise UsageError(f"making images needs {command}, which this machine lacks: run `make node-deps` as root")
