"""`mooring gateway` with bad input, without a credential, and its end by a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.settings import Settings
from mooring.wiring_gateway import Gateway

PLANTED = "ghp_" + "S" * 36
POD = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "9"}


def ended(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOORING_", "KUBE"))}
    least = {"MOORING_NAMESPACE": "mooring-system", "MOORING_WEBHOOK_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "mooring", "gateway"],
        env={**kept, **least, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_settings_that_are_wrong_are_all_told_at_once_without_their_values(tmp_path: Path) -> None:
    found = ended(
        tmp_path / "missing", MOORING_GATEWAY_LISTEN=PLANTED, MOORING_TRUSTED_PROXIES=PLANTED, MOORING_NAMESPACE=""
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("mooring: 4 problems in the environment; nothing was started\n")
    assert PLANTED not in found.stderr


@pytest.mark.parametrize(("kubeconfig", "says"), [(None, "set KUBECONFIG"), ("no/such/file", "no kubeconfig at ")])
def test_without_a_cluster_one_line_says_what_to_do(kubeconfig: str | None, says: str, tmp_path: Path) -> None:
    access = {} if kubeconfig is None else {"KUBECONFIG": str(tmp_path / kubeconfig)}
    found = ended(tmp_path, MOORING_GATEWAY_LISTEN="127.0.0.1:0", **access)
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert says in found.stderr


@pytest.mark.parametrize("variable", ["MOORING_GATEWAY_LISTEN", "MOORING_GATEWAY_ADMIN_LISTEN"])
def test_a_taken_port_is_one_line(variable: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = {"MOORING_GATEWAY_LISTEN": "127.0.0.1:0", "MOORING_GATEWAY_ADMIN_LISTEN": "127.0.0.1:0"}
        listen = {**free, variable: f"127.0.0.1:{taken.getsockname()[1]}"}
        found = ended(tmp_path, **POD, **listen, MOORING_GATEWAY_TOKEN_DIR=str(tmp_path), MOORING_LOG_LEVEL="error")
    assert (found.returncode, found.stderr.count("\n")) == (2, 1)
    assert variable in found.stderr


async def test_it_waits_for_a_credential_and_ends_while_it_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {
        "MOORING_NAMESPACE": "mooring-system",
        "MOORING_WEBHOOK_DIR": str(tmp_path),
        "MOORING_GATEWAY_TOKEN_DIR": str(tmp_path),
    }
    gateway = Gateway(Settings.load(given, command="gateway"), POD, version="test")
    stopped = asyncio.Event()

    async def stop() -> None:
        stopped.set()

    (tmp_path / "token").touch()  # it is being written
    with caplog.at_level(logging.INFO):
        running = asyncio.create_task(gateway.run(stop))
        await asyncio.sleep(0)
        assert gateway.not_ready() == "there is no credential for the API server yet"
        assert gateway.hook(None) is None
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 30)
    assert stopped.is_set()
    assert f"{tmp_path / 'token'} is not there yet" in caplog.text
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)
