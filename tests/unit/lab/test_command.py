"""The command line: whatever is wrong with what it is given is said in one line, with exit status 2."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.__main__ import main


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes SIGTERM for itself; give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "arguments are required"),
        (["fly"], "invalid choice: 'fly'"),
        (["up"], "required: --dir"),
        (["up", "--dir", "D", "--nodes", "many"], "--nodes many is unknown: choose simulated, none or real"),
        (["up", "--dir", "D", "--kubernetes", "1.30"], "--kubernetes 1.30 is unknown: choose 1.36 or 1.33"),
        (["up", "--dir", "D", "--kubernetes", "1.33"], "there is the API server alone: choose --nodes none"),
        (["up", "--dir", "D", "--api-port", "0"], "'0' is no port: give a number from 1 to 65535"),
        (["up", "--dir", "D", "--api-port", "x"], "'x' is no port"),
        (["up", "--dir", "D", "--sideways"], "unrecognized arguments: --sideways"),
        (["up", "--dir", "/dev/null", "--without-github"], "/dev/null is not a folder"),
        (["up", "--dir", "/dev/null/lab", "--without-github"], "cannot use the folder /dev/null/lab"),
        (["up", "--dir", "/etc", "--without-github"], "/etc holds files that are no lab's"),
        (["down", "--dir", "/no/such/folder"], "/no/such/folder holds no lab"),
        (["status", "--dir", "/no/such/folder"], "/no/such/folder holds no lab"),
        (["status", "--dir", "/dev/null"], "/dev/null holds no lab"),
        (["which", "ectd"], "no binary 'ectd': choose from etcd"),
        (["build", "ectd"], "no binary 'ectd': choose from etcd"),
    ],
)
def test_bad_input(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("lab: ")
    assert says in err
    assert err.count("\n") == 1


def test_other_systems_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["up", "--dir", str(tmp_path / "lab")]) == 2
    assert "runs on Linux only (this is darwin)" in capsys.readouterr().err
    assert not (tmp_path / "lab").exists()


def test_real_nodes_are_for_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["up", "--dir", str(tmp_path / "lab"), "--nodes", "real"]) == 2
    assert capsys.readouterr().err == "lab: --nodes real needs root: run it as root, or choose --nodes simulated\n"
    assert not (tmp_path / "lab").exists()


def test_real_nodes_name_what_the_machine_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name in {"runc", "nft"} else name)
    assert main(["up", "--dir", str(tmp_path / "lab"), "--nodes", "real"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "lab: --nodes real needs runc and nftables, which this machine lacks: run `make node-deps` as root\n"
    )
    assert not (tmp_path / "lab").exists()
