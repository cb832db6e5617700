"""`mooring operator` with bad input: every problem at once, exit status 2, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.__main__ import main

LEAST = {"MOORING_NAMESPACE": "mooring-system", "MOORING_CHECKOUT_IMAGE": "registry.example.com/mooring:1"}
PLANTED = "ghp_" + "S" * 36


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take every variable away that Mooring or a Kubernetes client would read."""
    for name in list(os.environ):
        if name.startswith(("MOORING_", "KUBE")):
            monkeypatch.delenv(name)
    return monkeypatch


def test_settings_that_are_wrong_are_all_told_at_once_without_their_values(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {
        "MOORING_CHECKOUT_IMAGE": f"Bad {PLANTED}",
        "MOORING_NAMESPACE": "Not A Label",
        "MOORING_OPERATOR_LISTEN": "x",
        "MOORING_SWEEP_INTERVAL": PLANTED,
        "MOORING_SWEEP_INTERVALL": "1m",
    }
    for name, value in wrong.items():
        bare.setenv(name, value)
    assert main(["operator"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    summary, *problems = err.splitlines()
    assert summary == "mooring: 5 problems in the environment; nothing was started"
    assert [problem.split()[0] for problem in problems] == sorted(wrong)
    assert "Traceback" not in err
    assert PLANTED not in err


def test_arguments_that_there_are_none_of_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operator", "--verbose"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "see `mooring --help`" in err or "see `mooring operator --help`" in err


@pytest.mark.parametrize(("kubeconfig", "says"), [(None, "set KUBECONFIG"), ("no/such/file", "no kubeconfig at ")])
def test_without_a_cluster_one_line_says_what_to_do(kubeconfig: str | None, says: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOORING_", "KUBE"))}
    access = {} if kubeconfig is None else {"KUBECONFIG": str(tmp_path / kubeconfig)}
    ended = subprocess.run(
        [sys.executable, "-m", "mooring", "operator"],
        env={**kept, **LEAST, **access, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("mooring: ")
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
