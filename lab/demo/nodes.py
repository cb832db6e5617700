"""Whether the demo's pods can run for real, and the images for that."""

from __future__ import annotations

from pathlib import Path

from lab import Lab, binaries, images, project_image
from lab.errors import UsageError
from lab.kubernetes.real import RealNodes

HERE = Path(__file__).parent
# The images that the samples name; there is no registry here, so another one has their names.
PYTHON, OTHERS = "docker.io/library/python:3.13-slim", ("docker.io/library/nginx:1.29-alpine",)


def hindrance() -> str | None:
    """Say why pods cannot run for real; None where they can."""
    try:
        RealNodes.require()
        images.require()
    except UsageError as problem:
        return str(problem)
    if not binaries.present(RealNodes.binaries) or not project_image.is_built():
        return "a real node's binaries and images are not built yet: `make test-node` does so in some minutes"
    return None


def load(lab: Lab) -> str:
    """Give the node what the samples run on; return the name of Mooring's own image."""
    own, base = project_image.build(), images.base_image()
    arguments, place = {"BASE_IMAGE": images.name_of(base)}, HERE / "image"
    public = images.build(place / "Dockerfile", place, PYTHON, base, arguments)
    images.load(lab, own)
    images.load(lab, public)
    for other in OTHERS:
        images.name_again(lab, PYTHON, other)
    return images.name_of(own)
