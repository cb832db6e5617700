"""However a lab with a real node ends: nothing of it is left on the machine, and others go on."""

from __future__ import annotations

import os
import signal
import urllib.request
from pathlib import Path

import pytest

from lab import Lab, images
from lab.errors import UsageError
from tests.lab.kubernetes.support import until
from tests.node.support import WORD, Node, machine, members, running


@pytest.fixture
def before() -> dict[str, object]:
    return machine()


def start(directory: Path) -> Lab:
    """A lab with a pod in it."""
    lab = Lab.up(directory, nodes="real", github=False)
    Node(lab).hold("held")
    return lab


def kill(lab: Lab) -> set[int]:
    """Kill the supervisor; the processes that the node had, all of which end by themselves."""
    had = members(lab)
    os.kill(lab.pids["supervisor"], signal.SIGKILL)
    until(lambda: not running(had), "every process of the node ends")
    return had


def test_down_leaves_nothing(before: dict[str, object], directory: Path) -> None:
    lab = start(directory)
    had = members(lab)
    assert len(had) >= 6, "init, containerd, kubelet, kube-proxy, a shim, a pod"
    assert machine() != before
    lab.down()
    assert not running(had)
    assert machine() == before
    assert [path.name for path in (directory / "logs" / "pods").iterdir()], "the pods' logs stay"


def test_a_killed_supervisor_leaves_nothing_after_down_nor_in_the_way_of_up(
    before: dict[str, object], directory: Path
) -> None:
    lab = start(directory)
    kill(lab)
    lab = start(directory)
    kill(lab)
    lab.down()
    assert machine() == before


def test_what_a_killed_lab_left_is_removed_by_the_next(
    before: dict[str, object], directory: Path, tmp_path: Path
) -> None:
    kill(Lab.up(directory, nodes="real", github=False))
    assert machine()["cgroups"] != before["cgroups"]
    Lab.up(tmp_path / "next", nodes="real", github=False).down()
    assert machine() == before


def test_a_killed_process_of_the_node_takes_the_lab_with_it(before: dict[str, object], directory: Path) -> None:
    lab = Lab.up(directory, nodes="real", github=False)
    os.kill(lab.pids["containerd"], signal.SIGKILL)
    until(lab.folder.failure.exists, "the failure is written down")
    assert lab.folder.failure.read_text().startswith("containerd was killed by SIGKILL while the lab was ready")
    until(lambda: machine() == before, "everything is gone")


def test_labs_live_side_by_side(node: Node, directory: Path) -> None:
    other = Node(start(directory))
    assert other.lab.env["LAB_HOST_ADDRESS"] != node.lab.env["LAB_HOST_ADDRESS"]
    mine, theirs = node.cluster_ip("kubernetes"), other.cluster_ip("kubernetes")
    assert mine != theirs
    other.lab.down()
    with urllib.request.urlopen(f"http://{node.cluster_ip('served')}/word", timeout=10) as answer:
        assert answer.read().decode().strip() == WORD


def test_images_are_for_real_nodes(directory: Path, archive: Path) -> None:
    lab = Lab.up(directory, nodes="none", github=False)
    with pytest.raises(UsageError, match="has no real node to load images into: start it with --nodes real"):
        images.load(lab, archive)
