"""What can happen to a lab. Each time: a clear word, and nothing left running."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from lab.errors import LabError, UsageError
from lab.folder import Folder
from tests.lab.kubernetes.support import (
    ROOT,
    api,
    assert_gone,
    command,
    listening_ports,
    processes_of,
    run,
    until,
)


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("harmed") / "lab"
    yield path
    if Folder(path).state():
        Lab(Folder(path), {}).down()
    assert not processes_of(path)


@pytest.mark.parametrize("victim", ["etcd", "kube-apiserver", "github"])
def test_a_killed_process_takes_the_lab_with_it_and_is_named(directory: Path, victim: str) -> None:
    lab = Lab.up(directory, nodes="none", github=victim == "github")
    ports = listening_ports(processes_of(directory))
    os.kill(lab.pids[victim], signal.SIGKILL)
    until(lab.folder.failure.exists, "the failure is written down")
    assert_gone(directory, ports)
    assert lab.folder.failure.read_text().startswith(f"{victim} was killed by SIGKILL while the lab was ready")
    assert not lab.folder.env.exists()
    for asked in (run("status", "--dir", str(directory)), run("down", "--dir", str(directory))):
        assert f"{victim} was killed by SIGKILL" in asked.stdout
        assert str(lab.folder.log(victim)) in asked.stdout
        assert lab.env["LAB_ADMIN_TOKEN"] not in asked.stdout


def test_a_killed_supervisor_takes_its_processes_with_it(directory: Path) -> None:
    lab = Lab.up(directory, nodes="none")
    ports = listening_ports(processes_of(directory))
    os.kill(lab.pids["supervisor"], signal.SIGKILL)
    assert_gone(directory, ports)
    asked = run("status", "--dir", str(directory))
    assert asked.returncode == 1
    assert "is lost" in asked.stdout
    lab.down()
    assert not lab.folder.env.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_start_cleans_up(directory: Path, number: signal.Signals) -> None:
    line = command("up", "--dir", str(directory), "--without-github")
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: _started(directory, "kube-apiserver"), "the API server is starting")
        ports = listening_ports(processes_of(directory))
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert_gone(directory, ports)
    assert not (directory / "env").exists()
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert errors == "lab: interrupted; nothing was left running\n"


def test_a_start_can_be_called_off_by_down(directory: Path) -> None:
    line = command("up", "--dir", str(directory), "--nodes", "none", "--without-github")
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: _started(directory, "etcd"), "etcd is starting")
        assert run("down", "--dir", str(directory)).returncode == 0
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors == f"lab: the lab in {directory} was stopped while it was starting\n"
    assert_gone(directory, set())


def test_a_start_that_fails_half_way_cleans_up(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "kube-controller-manager"
    broken.write_text("#!/bin/sh\necho no controllers today\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(LabError) as caught:
        Lab.up(directory, nodes="none", github=False)
    assert "kube-controller-manager ended with status 3 while the lab was starting" in str(caught.value)
    assert "no controllers today" in str(caught.value)
    assert_gone(directory, set())


def test_a_port_that_is_taken_is_refused(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} on 127\.0\.0\.1 is already taken: choose another"):
            Lab.up(directory, nodes="none", github=False, api_port=port)
        done = run("up", "--dir", str(directory), "--without-github", "--api-port", str(port))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert_gone(directory, set())


def test_a_stale_folder_never_harms_a_stranger(directory: Path) -> None:
    folder = Folder(directory)
    os.close(folder.claim())
    with subprocess.Popen(["sleep", "60"]) as stranger:
        state = {"pid": stranger.pid, "started": 1}
        text = '{"nodes": "none", "github": false, "phase": "ready", "processes": {"supervisor": %s, "etcd": %s}}'
        written = str(state).replace("'", '"')
        (directory / "lab.json").write_text(text % (written, written))
        assert run("down", "--dir", str(directory)).returncode == 0
        assert stranger.poll() is None
        stranger.kill()


def mount(path: Path, megabytes: int) -> None:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "mooring-lab", path], check=True)


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place for small file systems of our own; they are unmounted when the test is over."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small file system that this test fills")
    path = tmp_path_factory.mktemp("disk") / "mounted"
    yield path
    if path.is_mount():
        subprocess.run(["umount", path], check=True)


def test_a_disk_without_room_is_refused(small_disk: Path) -> None:
    mount(small_disk, 16)
    directory = small_disk / "lab"
    done = run("up", "--dir", str(directory), "--nodes", "none", "--without-github")
    assert done.returncode == 1
    assert done.stderr.startswith(f"lab: the disk of {directory} is too full: 1")
    assert done.stderr.count("\n") == 1
    assert_gone(small_disk, set())


def test_a_disk_that_fills_up_stops_the_lab(small_disk: Path) -> None:
    mount(small_disk, 300)
    lab = Lab.up(small_disk / "lab", nodes="none", github=False)
    ports = listening_ports(processes_of(lab.folder.path))
    assert api(lab).healthy("/readyz")
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(300 << 20))
    until(lab.folder.failure.exists, "the failure is written down, on a full disk")
    assert_gone(lab.folder.path, ports)
    assert "is full" in lab.folder.failure.read_text()
    done = run("down", "--dir", str(lab.folder.path))
    assert done.returncode == 0
    assert "is full" in done.stdout


def _started(directory: Path, name: str) -> bool:
    state = Folder(directory).state()
    return state is not None and name in state.processes
