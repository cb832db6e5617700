"""Mooring as a later release may be: it knows another version of the template. Run in place of `python -m mooring`."""

from __future__ import annotations

import sys
from typing import Any

from mooring.__main__ import main
from mooring.domain.manifests import DeploymentInputs, versions
from mooring.domain.resources import Project

VERSION = versions.newest() + 1
# What that version says beside what those before it do; they never name it for these Projects.
FIELD, VALUE = "terminationGracePeriodSeconds", 7


def another(project: Project, inputs: DeploymentInputs) -> dict[str, Any]:
    """Render pods that differ from those of the version before."""
    manifest = versions.RENDERERS[VERSION - 1](project, inputs)
    manifest["spec"]["template"]["spec"][FIELD] = VALUE
    return manifest


if __name__ == "__main__":
    versions.RENDERERS[VERSION] = another
    sys.exit(main())
