"""The credential of the gateway beside an operator: its own, short-lived, and there whoever leads."""

from __future__ import annotations

import json
import ssl
import stat
import time
from pathlib import Path

import httpx
import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from tests.cluster import leaks
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.harness import People
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    install_roles,
    operator_environment,
    running_operator,
    start_operator,
    wait_ready,
)

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
FILES = {"token", "ca.crt", "namespace"}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Return the folder that both containers share."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


def until_there(volume: Path, mooring: Mooring) -> str:
    """Wait for the credential; return it."""
    deadline = time.monotonic() + PATIENCE
    while not (volume / "token").exists():
        assert time.monotonic() < deadline, mooring.log[-4000:]
        assert mooring.process.poll() is None, mooring.log[-4000:]
        time.sleep(0.05)
    return (volume / "token").read_text()


def who(kube: Kube, volume: Path) -> str:
    """Ask the API server who has this credential, with nothing but these files."""
    tls = ssl.create_default_context(cafile=str(volume / "ca.crt"))
    answer = httpx.post(
        kube.server + REVIEWS,
        json={"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        headers={"Authorization": f"Bearer {(volume / 'token').read_text()}"},
        verify=tls,
        timeout=PATIENCE,
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["status"]["userInfo"]["username"])


def test_the_files_are_the_gateways(lab: Lab, kube: Kube, tmp_path: Path, volume: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with running_operator(lab, kube, home, MOORING_GATEWAY_TOKEN_DIR=str(volume)) as mooring:
        token = until_there(volume, mooring)
        assert who(kube, volume) == f"system:serviceaccount:{SYSTEM}:mooring-gateway"
        assert (volume / "namespace").read_text() == SYSTEM
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in volume.iterdir()}
        assert found == dict.fromkeys(FILES, 0o440)
        outputs = leaks.Outputs(
            home, frozenset({"operator.kubeconfig"}), mooring.admin, mooring.process.pid, [People(kube, SYSTEM)]
        )
        # Its beginning is that of every such token.
        assert leaks.scan(outputs, {"the gateway's": token.rpartition(".")[2]}) == []


def test_one_that_stands_by_keeps_its_own(lab: Lab, kube: Kube, tmp_path: Path, volume: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    with running_operator(lab, kube, home) as leading:
        kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", other / "kubeconfig")
        more = {"MOORING_GATEWAY_TOKEN_DIR": str(volume)}
        standing_by = start_operator(operator_environment(lab, kubeconfig, **more), other)
        try:
            wait_ready(standing_by, leads=False)
            until_there(volume, standing_by)
            assert who(kube, volume).endswith(":mooring-gateway")
            assert "reconciling begins" not in standing_by.log
            assert "reconciling begins" in leading.log
        finally:
            standing_by.stop()


def test_a_folder_that_cannot_be_written_to_ends_the_start(lab: Lab, kube: Kube, tmp_path: Path, volume: Path) -> None:
    install_roles(kube)
    (volume / "ca.crt").mkdir()
    home = tmp_path / "home"
    home.mkdir()
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", home / "kubeconfig")
    more = {"MOORING_GATEWAY_TOKEN_DIR": str(volume)}
    mooring = start_operator(operator_environment(lab, kubeconfig, **more), home)
    assert mooring.process.wait(PATIENCE) == 2
    lines = [line for line in mooring.log.splitlines() if "MOORING_GATEWAY_TOKEN_DIR" in line]
    assert len(lines) == 1, json.dumps(mooring.log)
    assert "cannot be written to" in lines[0]
