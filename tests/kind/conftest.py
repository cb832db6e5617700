"""One cluster of kind for the whole folder, with Mooring's own image in it. Without Docker nothing runs here."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_kind import KindCluster

from lab import binaries, cache
from tests.kind.stranger import Stranger

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "mooring-tests"
IMAGE = "mooring.dev/tests/kind:story"
# An image of nodes belongs to one release of kind, whose notes list it with its digest.
KIND = "v0.33.0"
NODE = "docker.io/kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"
BINARY = "https://github.com/kubernetes-sigs/kind/releases/download/{release}/kind-{system}-{machine}"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
BUILD_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where Docker does not answer there is nothing to run, and the reason is told."""
    ours = [item for item in items if HERE in item.path.parents]
    if ours and (why := without_docker()):
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=f"a cluster of kind needs Docker: {why}"))


def without_docker() -> str | None:
    """Say why there is no Docker to work with; None where there is one."""
    if not shutil.which("docker"):
        return "there is no command `docker`"
    try:
        done = subprocess.run(
            ["docker", "version", "--format={{.Server.Version}}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "`docker version` does not answer"
    said = done.stderr.strip().splitlines() or [f"`docker version` ends with {done.returncode}"]
    return said[-1] if done.returncode else None


@pytest.fixture(scope="session")
def image() -> str:
    """Mooring's own image, as the guide builds it."""
    subprocess.run(
        ["docker", "build", f"--tag={IMAGE}", str(ROOT)],
        # A list of attestations beside the image is what `kind load` trips over.
        env={**os.environ, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
        timeout=BUILD_SECONDS,
        check=True,
    )
    return IMAGE


@pytest.fixture(scope="session")
def kind_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KindCluster]:
    """A cluster as pytest-kind makes it, of a Kubernetes that is supported, and with the kubectl of the other tests."""
    folder = tmp_path_factory.mktemp("kind")
    kept = cache.folder() / "kind"
    kept.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):  # it makes a folder where it stands
        cluster = KindCluster(
            NAME,
            kubeconfig=folder / "kubeconfig",
            image=NODE,
            kind_path=kept / f"kind-{KIND}",
            kubectl_path=binaries.find("kubectl"),
        )
    machine = platform.machine().lower()
    binary = BINARY.format(release=KIND, system=platform.system().lower(), machine=MACHINES.get(machine, machine))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KIND_DOWNLOAD_URL", binary)
        cluster.ensure_kind()
    # One that an earlier run left behind has objects in it, and its kubeconfig is gone.
    cluster.delete()
    try:
        cluster.create()
        yield cluster
    finally:
        if not request.config.getoption("keep_cluster"):
            cluster.delete()


@pytest.fixture
def stranger(kind_cluster: KindCluster, image: str, tmp_path: Path) -> Stranger:
    """Somebody with a cluster, the image in it, and the chart."""
    kind_cluster.load_docker_image(image)
    return Stranger(kind_cluster, image, ROOT / "helm" / "mooring", tmp_path)
