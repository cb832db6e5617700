"""A folder with the document, and gateways that share a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.services.receiving.world import document, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the mounted folder, with the document in it."""
    write(tmp_path, document())
    return tmp_path
