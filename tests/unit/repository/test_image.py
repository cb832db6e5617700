"""What the image is built from, as far as that can be told without building it."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from lab import project_image
from mooring.domain.manifests.checkout import DEFAULT_ID
from tests.unit.repository.tree import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def installed() -> list[dict[str, str]]:
    told = subprocess.run([sys.executable, ROOT / "image" / "sbom.py"], capture_output=True, check=True, timeout=60)
    document = json.loads(told.stdout)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    components: list[dict[str, str]] = document["components"]
    return components


def test_the_bill_of_materials_has_every_package_by_its_version() -> None:
    """Held against the pins: this environment is made of them, too."""
    found = {component["purl"] for component in installed()}
    pinned = re.findall(
        r"^([a-z0-9._-]+)==(\S+)(?: ; (.*))? \\$", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE
    )
    assert len(pinned) > 20
    everywhere = {f"pkg:pypi/{name.replace('.', '-')}@{version}" for name, version, marker in pinned if not marker}
    assert everywhere <= found
    assert installed() == installed()


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == [f"{DEFAULT_ID}:{DEFAULT_ID}"]
    assert DOCKERFILE.rstrip().endswith('ENTRYPOINT ["/opt/mooring/bin/mooring"]')


def test_nothing_is_installed_without_its_hash() -> None:
    """Our own wheel apart, which needs no index."""
    logical = re.sub(r"\\\n", " ", DOCKERFILE)
    installs = [part for part in re.split(r"&&|\n", logical) if re.search(r"-m pip .*install ", part)]
    assert len(installs) == 3
    assert all("--require-hashes" in part or "--no-index" in part for part in installs)
    assert all(f"!requirements/{name}.txt" in (ROOT / ".dockerignore").read_text() for name in ("runtime", "dev"))


def test_what_builds_the_wheel_is_pinned() -> None:
    """The same words that the build picks from the pins of the tests."""
    (program,) = re.findall(r"awk '(.*?)'", DOCKERFILE)
    told = subprocess.run(
        ["awk", program, ROOT / "requirements" / "dev.txt"], capture_output=True, text=True, check=True
    )
    names = re.findall(r"^([a-z-]+)==", told.stdout, re.MULTILINE)
    assert names == ["hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"]
    assert told.stdout.count("--hash=sha256:") >= len(names)
    # The lab fetches the same for a build without a network.
    assert project_image.pinned((ROOT / "requirements" / "dev.txt").read_text(), tuple(names)) == told.stdout
    assert list(project_image.BUILDERS) == names


def test_the_lab_watches_all_that_the_image_is_made_of() -> None:
    """Else it would go on with an image from before a change."""
    let_in = {line[1:].split("/")[0] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert let_in == set(project_image.COPIED)
