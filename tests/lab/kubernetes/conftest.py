"""Two labs for the whole folder, side by side. Tests that harm a lab start their own."""

from collections.abc import Iterator

import pytest

from lab import Lab


@pytest.fixture(scope="package")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Simulated nodes, with the audit log on."""
    lab = Lab.up(tmp_path_factory.mktemp("simulated") / "lab", github=False, audit=True)
    yield lab
    lab.down()


@pytest.fixture(scope="package")
def nodeless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """No nodes and no workload controllers."""
    lab = Lab.up(tmp_path_factory.mktemp("nodeless") / "lab", nodes="none", github=False)
    yield lab
    lab.down()
