"""The per-user cache folder: binaries and toolchains that are slow to make. Nothing of a running lab is here."""

import os
from pathlib import Path


def folder() -> Path:
    """Where the cache lives: the same rule as the Makefile's."""
    if chosen := os.environ.get("MOORING_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).expanduser().absolute() / "mooring"
    return Path.home() / ".cache" / "mooring"
