"""Mooring's own image, from its own Dockerfile, on a base that was made on this machine and without a network."""

import hashlib
import importlib.metadata
import shutil
import tempfile
from pathlib import Path

from lab import cache, images

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("runtime.txt", "dev.txt")
# Of what the tests need, what builds our own wheel: the same list as in the Dockerfile.
BUILDERS = ("hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers")
NAME = "mooring.dev/lab/mooring:dev"
MOUNT = "/wheels"
REVISION = "0" * 40  # always the same: the image tells what it is made of, not when
COPIED = ("operator", "image", "pyproject.toml", "README.md", "LICENSE", "requirements")
KEPT = 2  # folders of wheels, for two states of the requirements


def build() -> Path:
    """The image as an archive; unless something has changed it is the one from before."""
    base, wheels = images.base_image(), _wheels()
    [pip] = wheels.glob("pip-*.whl")
    arguments = {
        "BASE": images.name_of(base),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": MOUNT,
        "PYTHONPATH": f"{MOUNT}/{pip.name}",
        "REVISION": REVISION,
    }
    dockerfile, volumes = REPOSITORY / "Dockerfile", {wheels: MOUNT}
    return images.build(dockerfile, REPOSITORY, NAME, base, arguments, volumes=volumes, copied=COPIED)


def is_built() -> bool:
    """Whether it was built before, so that another build takes seconds."""
    return images.kept(NAME).exists()


def _wheels() -> Path:
    """A folder with all that the Dockerfile installs, and a pip to do so: the base has none."""
    runtime, dev = ((REPOSITORY / "requirements" / name).read_text() for name in REQUIREMENTS)
    wanted = f"{runtime}\n{pinned(dev, BUILDERS)}"
    pip = f"pip=={importlib.metadata.version('pip')}\n"
    home = cache.folder() / "images" / "wheels"
    place = home / hashlib.sha256(f"{images.PYTHON_VERSION}\0{wanted}\0{pip}".encode()).hexdigest()[:16]
    if not place.exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".new-") as scratch:
            into = Path(scratch) / "wheels"
            for number, text in enumerate((wanted, pip)):
                list_file = Path(scratch) / f"{number}.txt"
                list_file.write_text(text)
                images.wheels(list_file, into)
            if not place.exists():
                into.replace(place)
        _forget(home)
    return place


def _forget(home: Path) -> None:
    """Keep the newest folders."""
    places = sorted(home.glob("[!.]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for place in places[KEPT:]:
        shutil.rmtree(place, ignore_errors=True)


def pinned(requirements: str, names: tuple[str, ...]) -> str:
    """The lines of a requirements file that pin these projects, hashes included."""
    kept, keep = [], False
    for line in requirements.splitlines():
        if line[:1].isalnum():
            keep = line.split("==")[0] in names
        if keep:
            kept.append(line)
    return "\n".join(kept) + "\n"
