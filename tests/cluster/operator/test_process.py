"""The operator as a process: how it starts, how it ends, and what it says when it cannot."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub
from tests.cluster.process import SYSTEM, install_roles, operator_environment, running_operator, start_operator

# Kubernetes waits for 30 s; a takeover waits for the end of the one before.
STOP_SECONDS = 15.0


def test_it_ends_quickly_and_says_nothing_bad(lab: Lab, kube: Kube, hub: Hub, tmp_path: Path) -> None:
    # A scraper keeps its connection open; that must hold nobody up.
    with running_operator(lab, kube, tmp_path) as mooring, httpx.Client(trust_env=False) as scraper:
        assert scraper.get(f"{mooring.admin}/metrics").status_code == 200
        started = time.monotonic()
        assert mooring.stop() == 0
        assert time.monotonic() - started < STOP_SECONDS
    assert '"level":"critical"' not in mooring.log
    assert '"level":"error"' not in mooring.log


def test_a_taken_port_is_one_line(lab: Lab, kube: Kube, hub: Hub, tmp_path: Path) -> None:
    install_roles(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", tmp_path / "operator.kubeconfig")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = operator_environment(lab, kubeconfig, MOORING_OPERATOR_LISTEN=listen)
        mooring = start_operator(environment, tmp_path)
        assert mooring.process.wait(20) == 2
    lines = mooring.log.strip().splitlines()
    assert len(lines) == 1
    assert "MOORING_OPERATOR_LISTEN" in lines[0]


def test_a_policy_that_cannot_be_read_stops_the_start(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    install_roles(kube)
    path = f"/api/v1/namespaces/{SYSTEM}/configmaps"
    kube.request("DELETE", f"{path}/mooring-policy")
    request.addfinalizer(lambda: kube.request("DELETE", f"{path}/mooring-policy"))
    body = {"metadata": {"name": "mooring-policy"}, "data": {"policy.yaml": "allowedHost: [x]\ningress: 3\n"}}
    assert kube.request("POST", path, body)[0] == 201
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", tmp_path / "operator.kubeconfig")
    mooring = start_operator(operator_environment(lab, kubeconfig), tmp_path)
    assert mooring.process.wait(20) == 2
    # Every problem at once, and no traceback.
    assert "allowedHost" in mooring.log
    assert "ingress" in mooring.log
    assert "Traceback" not in mooring.log
