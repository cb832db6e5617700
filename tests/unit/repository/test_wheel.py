"""The wheel: the package and nothing else, built without a network."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from collections.abc import Iterator

import pytest

from tests.unit.repository.tree import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Build it with the backend that pyproject.toml names, as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def only(wheel: zipfile.ZipFile, name: str) -> str:
    (found,) = [entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}")]
    return wheel.read(found).decode()


def test_it_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    source = ROOT / "operator" / "mooring"
    wanted = {
        f"mooring/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert found == wanted
    assert "mooring/py.typed" in found
    # `operator` is a module of the standard library: a package of that name would break whatever imports it.
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_it_installs_the_command(wheel: zipfile.ZipFile) -> None:
    assert "mooring = mooring.__main__:main" in only(wheel, "entry_points.txt").splitlines()


def test_it_says_what_it_is_and_what_it_needs(wheel: zipfile.ZipFile) -> None:
    told = email.message_from_string(only(wheel, "METADATA"))
    assert (told["Name"], told["License-Expression"], told["Requires-Python"]) == ("mooring", "Apache-2.0", ">=3.11")
    assert told.get_payload().startswith("# Mooring")  # type: ignore[union-attr]  # not multipart
    needed = {line.split(">")[0].split("<")[0].split("[")[0] for line in told.get_all("Requires-Dist", [])}
    assert {"kopf", "kubernetes", "pydantic", "aiohttp"} <= needed
    assert not needed & {"pytest", "hypothesis", "ruff", "mypy"}


def test_it_brings_its_license(wheel: zipfile.ZipFile) -> None:
    assert "Apache License" in only(wheel, "licenses/LICENSE")
