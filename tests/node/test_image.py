"""Mooring's own image: what is in it and what is not, as its archive says. The story shows that it works."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest

from lab import images
from lab.archives import Contents, described, program_layer, write_archive
from lab.project_image import REVISION

MEGABYTE = 1_000_000
BASE_LAYERS = 1
# Measured at 184 MB: a third of it is Kubernetes' own client; what is over this is worth a look.
OWN_LIMIT = 195 * MEGABYTE
BILL = "opt/mooring/sbom.cdx.json"
PACKAGES = "var/lib/dpkg/status"
TOOLS = re.compile(r"pip3?|pip3?\.\d+|gcc.*|cc1?|c\+\+|g\+\+.*|ld|make|curl|wget")


class Image:
    """All layers of an archive."""

    def __init__(self, archive: Path) -> None:
        manifest, self.config = described(archive)
        self.sizes: list[int] = []
        self.names: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        with tarfile.open(archive) as outer:
            for name in manifest["Layers"]:
                self.sizes.append(outer.getmember(name).size)
                for entry, text in _entries(outer, name):
                    self.names[entry.name.removeprefix("./")] = entry.mode
                    if text is not None:
                        self.texts[entry.name.removeprefix("./")] = text


def _entries(outer: tarfile.TarFile, layer: str) -> Iterator[tuple[tarfile.TarInfo, str | None]]:
    with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.name.removeprefix("./") in {BILL, PACKAGES} else None
            yield entry, content.read().decode() if content else None


@pytest.fixture(scope="module")
def image(mooring_archive: Path) -> Image:
    return Image(mooring_archive)


def test_the_image_says_what_it_is_and_runs_as_nobody(image: Image) -> None:
    config = image.config["config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert (labels["title"], labels["licenses"], labels["revision"]) == ("mooring", "Apache-2.0", REVISION)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", labels["version"])
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/mooring/bin/mooring"]
    assert not config.get("Volumes")


def test_the_bill_of_materials_lists_what_is_installed(image: Image) -> None:
    """Each distribution and each package of the image, and nothing else."""
    listed = {one["purl"] for one in json.loads(image.texts[BILL])["components"]}
    installed = {
        f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
        for path in image.names
        if path.endswith(".dist-info/METADATA") and path.startswith("opt/mooring/")
        for name, version in [PurePosixPath(path).parent.name.removesuffix(".dist-info").split("-")]
    }
    assert {one for one in listed if one.startswith("pkg:pypi/")} == installed
    assert any(one.startswith("pkg:pypi/mooring@") for one in installed)
    listed_debian = {re.split("[/@]", one)[2] for one in listed if one.startswith("pkg:deb/")}
    blocks = [dict(re.findall(r"^(\S+): (.*)$", text, re.MULTILINE)) for text in image.texts[PACKAGES].split("\n\n")]
    packages = {each["Package"] for each in blocks if each.get("Status") == "install ok installed"}
    assert {quote(name) for name in packages} == listed_debian
    assert "git" in packages


def test_the_image_has_nothing_to_build_or_install_with(image: Image) -> None:
    folders = {"usr/bin", "usr/sbin", "usr/local/bin", "bin", "sbin", "opt/mooring/bin"}
    programs = {PurePosixPath(name).name for name in image.names if str(PurePosixPath(name).parent) in folders}
    assert {"git", "mooring"} <= programs
    assert not {name for name in programs if TOOLS.fullmatch(name)}
    assert not [name for name in image.names if "/site-packages/pip" in name or "/ensurepip/_bundled" in name]
    assert not [name for name in image.names if name.startswith(("src/", "wheel/", "own/", "opt/build", "wheels/"))]


def test_what_is_ours_belongs_to_root_and_is_compiled(image: Image) -> None:
    """It may run with a read-only root, so what is not compiled now never will be."""
    ours = {name: mode for name, mode in image.names.items() if name.startswith("opt/mooring/")}
    assert not [name for name, mode in ours.items() if mode & 0o022 and not mode & 0o120000]
    sources = {name for name in ours if "/site-packages/mooring/" in name and name.endswith(".py")}
    compiled = {name for name in ours if "/site-packages/mooring/" in name and name.endswith(".pyc")}
    assert len(sources) == len(compiled) > 100


def test_the_image_is_no_larger_than_we_say(image: Image) -> None:
    """The base apart, which is whatever one chooses; layers as they are unpacked."""
    own = sum(image.sizes[BASE_LAYERS:])
    assert own < OWN_LIMIT, f"{own / MEGABYTE:.0f} MB on a base of {image.sizes[0] / MEGABYTE:.0f} MB, unpacked"
    assert min(image.sizes[BASE_LAYERS:]) < MEGABYTE < own, "the layers are what we take them for"


def test_an_image_is_made_anew_when_something_in_it_changed_and_only_then(tmp_path: Path) -> None:
    word, context = tmp_path / "word", tmp_path / "context"
    word.write_text("base")
    base = write_archive(
        tmp_path / "base.tar", "mooring.dev/tests/tiny-base:1", Contents(program_layer(tmp_path / "l", word))
    )
    (context / "copied").mkdir(parents=True)
    (context / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY copied /copied\n")

    def built(text: str) -> tuple[int, Path]:
        (context / "copied" / "word").write_text(text)
        arguments = {"BASE": images.name_of(base)}
        found = images.build(
            context / "Dockerfile", context, "mooring.dev/tests/tiny:1", base, arguments, copied=("copied",)
        )
        return found.stat().st_mtime_ns, found

    first, _ = built(f"one of {tmp_path}")
    assert built(f"one of {tmp_path}")[0] == first
    second, archive = built("two")
    assert second != first
    assert described(archive)[0]["RepoTags"] == ["mooring.dev/tests/tiny:1"]
