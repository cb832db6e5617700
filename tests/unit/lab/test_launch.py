"""Processes that must not outlive their parent, and ports that must not be lost to another."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.ports import LOOPBACK, Ports
from lab.processes import LAUNCHER, bound_to_me, identify

# Starts a grandchild that leaves its session, says who is who, and waits.
FAMILY = (
    "import os, subprocess, time; "
    "child = subprocess.Popen(['sleep', '60'], start_new_session=True); "
    "print(os.getpid(), child.pid, flush=True); "
    "time.sleep(60)"
)
# Stands between the test and the family, so that it can be killed.
PARENT = (
    "import subprocess, sys, os; "
    "subprocess.Popen([sys.executable, '-I', '-S', sys.argv[1], sys.argv[2], str(os.getpid()), *sys.argv[3:]]).wait()"
)


def start(mode: str, *command: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-I", "-S", "-c", PARENT, str(LAUNCHER), mode, *command]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True)


def read_pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout
    return [int(word) for word in process.stdout.readline().split()]


def test_a_bound_process_dies_with_its_parent() -> None:
    with start(
        "plain", sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    ) as parent:
        (child,) = (identify(pid) for pid in read_pids(parent))
        assert child.alive
        parent.send_signal(signal.SIGKILL)
        assert child.wait(5)


def test_a_tree_dies_with_its_parent_grandchildren_included() -> None:
    with start("tree", sys.executable, "-c", FAMILY) as parent:
        family = [identify(pid) for pid in read_pids(parent)]
        assert all(one.alive for one in family)
        parent.send_signal(signal.SIGKILL)
        assert all(one.wait(5) for one in family)


def test_a_tree_ends_when_told_to() -> None:
    command = bound_to_me([sys.executable, "-c", FAMILY], tree=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as head:
        family = [identify(pid) for pid in read_pids(head)]
        head.terminate()
        assert head.wait(5) == 128 + signal.SIGTERM
        assert not any(one.alive for one in family)


def test_a_tree_whose_head_ends_leaves_nobody() -> None:
    script = FAMILY.replace("time.sleep(60)", "raise SystemExit(7)")
    with subprocess.Popen(
        bound_to_me([sys.executable, "-c", script], tree=True), stdout=subprocess.PIPE, text=True
    ) as head:
        _, grandchild = (identify(pid) for pid in read_pids(head))
        assert head.wait(5) == 7
        assert not grandchild.alive


def test_a_command_that_does_not_exist_is_an_error() -> None:
    done = subprocess.run(bound_to_me(["/no/such/command"]), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "No such file" in done.stderr


def test_reserved_ports_differ_and_are_kept_from_others() -> None:
    with Ports() as one, Ports() as other:
        ports = [*(one.free() for _ in range(20)), *(other.free() for _ in range(20))]
        assert len(set(ports)) == 40
        with pytest.raises(OSError, match="in use"), socket.socket() as stranger:
            stranger.bind((LOOPBACK, ports[0]))


def test_a_server_that_reuses_addresses_gets_its_reserved_port() -> None:
    with Ports() as ports:
        port = ports.free()
        with socket.create_server((LOOPBACK, port)) as server:  # sets SO_REUSEADDR
            with socket.create_connection((LOOPBACK, port), timeout=5) as client:
                assert client.getpeername() == server.getsockname()
            with pytest.raises(UsageError, match=rf"port {port} on 127\.0\.0\.1 is already taken: .* --api-port"):
                ports.fixed(port, "--api-port")


def test_waiting_for_a_process_has_an_end() -> None:
    began = time.monotonic()
    assert not identify(os.getpid()).wait(0.05)
    assert time.monotonic() - began < 5
    assert Path(LAUNCHER).is_file()
