"""A lab's life: up, known from outside, beside another, down without a trace."""

import subprocess

import pytest

from lab import Lab
from lab.envfile import parse
from lab.errors import UsageError
from tests.lab.kubernetes.support import api, assert_gone, listening_ports, processes_of, run

GITHUB = ("MOORING_GITHUB_API_URL", "MOORING_GITHUB_CA_FILE", "LAB_GITHUB_CONTROL_URL", "LAB_GITHUB_GIT_URL")


def test_up_status_and_down_by_command(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("whole") / "lab"
    up = run("up", "--dir", str(directory))
    assert up.returncode == 0, up.stderr
    assert f"python -m lab down --dir {directory}" in up.stdout
    assert not up.stderr

    sourced = subprocess.run(
        ["sh", "-c", "set -a; . ./env; env"], cwd=directory, env={}, capture_output=True, text=True, check=True
    )
    shell = dict(line.split("=", 1) for line in sourced.stdout.splitlines())
    env = parse((directory / "env").read_text())
    assert set(env) == {"KUBECONFIG", *GITHUB, "LAB_ADMIN_TOKEN"}
    assert env.items() <= shell.items()
    assert not [path for path in directory.glob("secrets/*") if path.stat().st_mode & 0o077]
    assert (directory / "env").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700

    lab = Lab.attach(directory)
    assert set(lab.pids) == {
        *("supervisor", "etcd", "github", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
    }
    assert api(lab).healthy("/readyz")
    asked = run("status", "--dir", str(directory))
    assert asked.returncode == 0
    assert "is ready" in asked.stdout
    assert env["LAB_ADMIN_TOKEN"] not in up.stdout + asked.stdout

    again = run("up", "--dir", str(directory))
    assert again.returncode == 2
    assert again.stderr.startswith("lab: a lab already runs in")
    assert again.stderr.count("\n") == 1
    assert api(lab).healthy("/readyz")

    ports = listening_ports(processes_of(directory))
    assert len(ports) >= 6
    down = run("down", "--dir", str(directory))
    assert down.returncode == 0
    assert_gone(directory, ports)
    left = {path.name for path in directory.iterdir()}
    assert left == {"github", "lab.json", "lock", "logs"}
    with pytest.raises(UsageError, match="no lab runs"):
        Lab.attach(directory)
    assert run("down", "--dir", str(directory)).returncode == 0
    assert run("status", "--dir", str(directory)).returncode == 1


def test_two_labs_do_not_see_each_other(simulated: Lab, nodeless: Lab) -> None:
    one, other = (listening_ports(processes_of(lab.folder.path)) for lab in (simulated, nodeless))
    assert one
    assert other
    assert not one & other
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "here"}}
    path = "/api/v1/namespaces/default/configmaps"
    api(simulated).create(path, body)
    assert api(nodeless).get(f"{path}/here") is None
    token = simulated.env["LAB_ADMIN_TOKEN"]
    assert token != nodeless.env["LAB_ADMIN_TOKEN"]
