"""The shell of somebody who follows a page: kubectl, Helm and this repository's folders, and nothing of ours else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab import binaries
from tests.pages import ROOT

# What commands of pages name.
FOLDERS = ("helm", "manifests", "crds")
PROGRAMS = ("kubectl", "helm")
# A command of a page waits for pods.
SECONDS = 150.0


class Shell:
    """A folder to work in, and the programs that a person has."""

    def __init__(self, folder: Path, kubeconfig: str, **more: str) -> None:
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        for name in FOLDERS:
            (folder / name).symlink_to(ROOT / name)
        for name in PROGRAMS:
            (self.programs / name).symlink_to(binaries.find(name))
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": kubeconfig,
            **more,
        }

    def run(
        self, command: str, stdin: str = "", variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, as a paste into a terminal does."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env={**self.environment, **(variables or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
