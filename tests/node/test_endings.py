"""However a lab with a real node ends: nothing of it is left on the machine, and others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from lab import Lab
from lab.folder import Folder, State
from lab.handle import down
from lab.kubernetes.real.slot import COUNT, Slot, remember, sweep, take
from tests.lab.kubernetes.support import until
from tests.node.support import WORD, Node, machine, members, number_of, running, traces


@pytest.fixture
def before() -> dict[str, object]:
    return machine()


def start(directory: Path) -> Lab:
    """A lab with a pod in it."""
    lab = Lab.up(directory, nodes="real", github=False)
    Node(lab).hold("held")
    return lab


def kill(lab: Lab) -> int:
    """Kill the supervisor, upon which every process of the node ends by itself; the lab's number."""
    had, number = members(lab), number_of(lab)
    os.kill(lab.pids["supervisor"], signal.SIGKILL)
    until(lambda: not running(had), "every process of the node ends")
    return number


def test_down_leaves_nothing(before: dict[str, object], directory: Path) -> None:
    lab = start(directory)
    had, number = members(lab), number_of(lab)
    assert len(had) >= 6, "init, containerd, kubelet, kube-proxy, a shim, a pod"
    assert len(traces(number)) >= 5, "cgroups, an interface, two routes, the number"
    assert machine() == before
    lab.down()
    assert not running(had)
    assert not traces(number)
    assert machine() == before
    assert [path.name for path in (directory / "logs" / "pods").iterdir()], "the pods' logs stay"


def test_a_lab_that_was_killed_is_no_burden_for_the_next(
    before: dict[str, object], directory: Path, tmp_path: Path
) -> None:
    """The next takes the number of the last, and clears what bears it; it names its own process when that dies."""
    number = kill(start(directory))
    assert traces(number), "the kernel keeps the cgroups"
    until(lambda: all("cgroup" in one for one in traces(number)), "the kernel removes all else")
    lab = Lab.up(tmp_path / "next", nodes="real", github=False)
    assert number_of(lab) == number
    assert not list(Path("/sys/fs/cgroup").glob(f"**/mooring-lab-{number}/**/pod*")), "no pod was started yet"
    os.kill(lab.pids["containerd"], signal.SIGKILL)
    until(lab.folder.failure.exists, "the failure is written down")
    assert lab.folder.failure.read_text().startswith("containerd was killed by SIGKILL while the lab was ready")
    until(lambda: not traces(number), "everything is gone")
    assert machine() == before


def test_labs_live_side_by_side(node: Node, directory: Path) -> None:
    """Each has addresses of its own; one that is killed, and its folder used for another kind, harms no other."""
    other = Node(start(directory))
    assert other.lab.env["LAB_HOST_ADDRESS"] != node.lab.env["LAB_HOST_ADDRESS"]
    assert other.cluster_ip("kubernetes") != node.cluster_ip("kubernetes")
    number = kill(other.lab)
    assert traces(number)
    Lab.up(directory, nodes="none", github=False)
    assert not traces(number)
    with urllib.request.urlopen(f"http://{node.cluster_ip('served')}/word", timeout=10) as answer:
        assert answer.read().decode().strip() == WORD


def test_down_removes_what_a_killed_lab_left(directory: Path) -> None:
    """As it looks after a crash, with the last number that there is; a process in the cgroup is ended with it."""
    folder = Folder(directory)
    folder.node.mkdir(parents=True)
    slot = Slot(COUNT - 1)
    remember(folder, slot)
    slot.prepare_cgroups()
    folder.write_state(State(nodes="real", github=False, phase="ready"))
    with subprocess.Popen(["sleep", "600"]) as lingering:
        inner = slot.hierarchies[0] / slot.cgroup / "pod"
        inner.mkdir()
        (inner / "cgroup.procs").write_text(f"{lingering.pid}\n")
        try:
            down(folder)
            assert lingering.wait(5) == -signal.SIGKILL
            assert not traces(slot.number)
        finally:
            lingering.kill()
            slot.sweep()


def test_a_number_in_use_is_left_alone(directory: Path) -> None:
    """Its owner has swept already what an earlier one left, and what is there now belongs to the owner."""
    slot, owner = take()
    with owner:
        slot.prepare_cgroups()
        folder = Folder(directory)
        folder.node.mkdir(parents=True)
        remember(folder, slot)
        sweep(folder)
        assert all((place / slot.cgroup).exists() for place in slot.hierarchies)
        other, more = take()
        more.close()
        assert other != slot
    sweep(folder)
    assert not any((place / slot.cgroup).exists() for place in slot.hierarchies)
