"""One lab with a real node for the whole folder. Tests that end a lab start their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, images, project_image
from lab.errors import UsageError
from lab.folder import Folder
from lab.kubernetes.real import RealNodes
from tests.node.install import Mooring, installed
from tests.node.shop import Shop
from tests.node.support import WORD, Node

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Elsewhere there is nothing to run; as root on Linux, whatever is missing is a failure that says what to do."""
    ours = [item for item in items if HERE in item.path.parents]
    if not (sys.platform == "linux" and os.geteuid() == 0):
        for item in ours:
            item.add_marker(pytest.mark.skip(reason="a real node needs root on Linux"))
    elif ours:
        try:
            RealNodes.require()
            images.require()
        except UsageError as problem:
            raise pytest.UsageError(f"tests/node cannot run: {problem}") from None


@pytest.fixture(scope="package")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of ours, built on the base."""
    given = tmp_path_factory.mktemp("given")
    (given / "by-the-host").touch()
    base = images.base_image()
    return images.build(
        HERE / "image" / "Dockerfile",
        HERE / "image",
        "mooring.dev/tests/node:1",
        base,
        {"BASE_IMAGE": images.name_of(base), "WORD": WORD},
        volumes={given: "/given"},
    )


@pytest.fixture(scope="package")
def mooring_archive() -> Path:
    """Mooring's own image, from its own Dockerfile."""
    return project_image.build()


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Node]:
    """A lab with a real node, GitHub, and a Deployment of the image behind a Service."""
    lab = Lab.up(tmp_path_factory.mktemp("real") / "lab", nodes="real")
    try:
        images.load(lab, archive)
        found = Node(lab)
        found.serve(images.name_of(archive))
        yield found
    finally:
        lab.down()


@pytest.fixture(scope="package")
def mooring(node: Node, mooring_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """Mooring, installed on that node by its chart."""
    with installed(node.lab, mooring_archive, tmp_path_factory.mktemp("helm")) as found:
        yield found


@pytest.fixture(scope="package")
def shop(mooring: Mooring, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A team whose Project serves a private repository."""
    found = Shop(mooring, "store", tmp_path_factory.mktemp("shop"))
    found.connect()
    found.deploy()
    return found


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for a lab of one's own, which ends with the test."""
    path = tmp_path_factory.mktemp("own") / "lab"
    yield path
    if Folder(path).state():
        Lab(Folder(path), {}).down()
