"""Mooring as a later release may be: it knows a second version of the template. Run in place of `python -m mooring`."""

from __future__ import annotations

import sys
from typing import Any

from mooring.__main__ import main
from mooring.domain.manifests import DeploymentInputs, deployment, versions
from mooring.domain.resources import Project

VERSION = 2
# What the second version says beside what the first one does; the first one never names it for these Projects.
FIELD, VALUE = "terminationGracePeriodSeconds", 7


def second(project: Project, inputs: DeploymentInputs) -> dict[str, Any]:
    """Render pods that differ from those of the first version."""
    manifest = deployment(project, inputs)
    manifest["spec"]["template"]["spec"][FIELD] = VALUE
    return manifest


if __name__ == "__main__":
    versions.RENDERERS[VERSION] = second
    sys.exit(main())
