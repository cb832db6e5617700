"""How git is run, what a workspace may be, and how the command ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mooring.checkout import command, workspace
from mooring.checkout.failures import Failed
from mooring.checkout.git import Git, GitError, Place, TooMuchOutput, environment
from mooring.checkout.limits import Limits
from mooring.checkout.proof import init
from mooring.checkout.request import Request, request
from mooring.checkout.timing import Deadline, MachineClock

SHA = "0123456789" * 4


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a repository."""
    place = Place.of(tmp_path / "w")
    place.work_tree.mkdir()
    git().run(place, *init(SHA))
    return place


def git(seconds: float = 60) -> Git:
    return Git(Deadline(MachineClock(), seconds))


def test_git_knows_nothing_of_our_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_SSL_NO_VERIFY", "GIT_TRACE", "GIT_PROXY_COMMAND", "https_proxy", "XDG_CONFIG_HOME", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/evil")
    assert set(environment(place)) == {
        "PATH", "HOME", "LC_ALL", "GIT_DIR", "GIT_WORK_TREE", "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_GLOBAL",
        "GIT_ATTR_NOSYSTEM",
        "GIT_TERMINAL_PROMPT", "GIT_ALLOW_PROTOCOL", "GIT_LITERAL_PATHSPECS", "GIT_NO_REPLACE_OBJECTS",
    }  # fmt: skip
    assert environment(place)["HOME"] == "/nonexistent"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("core.hookspath", "/dev/null"), ("http.followredirects", "false"), ("http.sslverify", "true"),
        ("protocol.allow", "never"), ("transfer.fsckobjects", "true"), ("core.protecthfs", "true"),
        ("core.protectntfs", "true"), ("core.fsmonitor", "false"), ("credential.helper", ""), ("gc.auto", "0"),
        ("fetch.recursesubmodules", "false"), ("submodule.recurse", "false"), ("fetch.unpacklimit", "1"),
    ],
)  # fmt: skip
def test_no_repositorys_configuration_outranks_ours(place: Place, key: str, value: str) -> None:
    git().run(place, "config", "--local", key, "/evil")
    assert git().run(place, "config", "--get", key).decode() == f"{value}\n"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "file:///etc", "ssh://127.0.0.1:9/x", "ext::touch x", "git://127.0.0.1:9/x"]
)
def test_git_speaks_https_alone(place: Place, url: str) -> None:
    with pytest.raises(GitError) as raised:
        git().run(place, "fetch", "--", url, SHA)
    assert "not allowed" in raised.value.said


def test_a_secret_is_there_for_one_run_alone(place: Place) -> None:
    asked = ("config", "--get-urlmatch", "http.extraHeader", "https://a.b/c/d.git")
    secret = '[http "https://a.b/"]\n\textraHeader = secret\n'
    assert git().run(place, *asked, secret=secret) == b"secret\n"
    elsewhere = (*asked[:-1], "https://a.b.evil/c/d.git")
    for arguments, more in ((asked, ""), (elsewhere, secret)):
        with pytest.raises(GitError):
            git().run(place, *arguments, secret=more)
    assert "secret" not in (place.git_dir / "config").read_text()
    before = len(list(Path("/proc/self/fd").iterdir()))
    git().run(place, *asked, secret=secret)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_output_time_and_size_are_bounded(place: Place) -> None:
    with pytest.raises(TooMuchOutput):
        git().run(place, "var", "-l", limit=10)
    with pytest.raises(Failed, match="longer than 1 s"):
        git(1).run(place, "-c", "alias.wait=!sleep 600", "wait")

    def enough() -> None:
        raise Failed("enough")

    began = time.monotonic()
    with pytest.raises(Failed, match="enough"):
        git().run(place, "-c", "alias.wait=!sleep 600", "wait", watch=enough)
    assert time.monotonic() - began < 30


def test_what_git_says_is_kept_to_the_end_of_it(place: Place) -> None:
    loud = "alias.loud=!for i in $(seq 20000); do echo noise $i >&2; done; echo last >&2; exit 3"
    with pytest.raises(GitError) as raised:
        git().run(place, "-c", loud, "loud")
    assert raised.value.code == 3
    assert raised.value.said.endswith("last\n")
    assert len(raised.value.said) <= 16 * 1024


def test_a_machine_without_git(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Failed, match="git is not on the PATH of this image"):
        git().run(place, "version")


# --- the workspace ---


def test_a_workspace_is_emptied_and_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "w"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (inside / ".git").mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "deep" / "er").mkdir(parents=True)
    (inside / "deep" / "link").symlink_to(outside)
    os.mkfifo(inside / "deep" / "pipe")
    (inside / "deep").chmod(0o555)
    workspace.check(inside)
    workspace.empty(inside)
    assert list(inside.iterdir()) == []
    assert (outside / "kept").exists()


def test_what_is_no_workspace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    workspace.check(tmp_path / "empty")
    for wrong in (tmp_path / "none", tmp_path / "file", tmp_path / "link", tmp_path, Path("/")):
        with pytest.raises(Failed):
            workspace.check(wrong)
    # A link of that name is no checkout.
    (tmp_path / ".git").symlink_to(tmp_path / "empty")
    with pytest.raises(Failed, match="nothing in it was touched"):
        workspace.check(tmp_path)


# --- the command ---


def wanted(folder: Path, url: str = "https://127.0.0.1:9/acme/web.git") -> Request:
    folder.mkdir(exist_ok=True)
    return request(url=url, revision=SHA, destination=str(folder))


class NoTime(MachineClock):
    """A clock on which every wait is over at once."""

    def sleep(self, seconds: float) -> None:
        """Wait for nothing."""


def test_the_last_line_is_where_the_kubelet_looks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_text("of the run before, and longer than what comes now" * 100)
    code = command.run(wanted(tmp_path / "w"), clock=NoTime(), termination_log=log)
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith("mooring: the checkout failed: 127.0.0.1:9 cannot be reached for the repository https://")
    assert log.read_text() == last.removeprefix("mooring: ") + "\n"
    assert command.run(wanted(tmp_path / "w"), limits=Limits(seconds=0), termination_log=tmp_path / "none") == 1
    assert not (tmp_path / "none").exists()


def test_a_defect_is_told_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "ghp_" + "S" * 36

    def broken(_: object) -> None:
        raise TypeError(f"with {secret}\x1b[2J")

    monkeypatch.setattr(workspace, "check", broken)
    assert command.run(wanted(tmp_path / "w"), termination_log=tmp_path / "none") == 1
    err = capsys.readouterr().err
    assert "by a defect of its own (TypeError). Report it." in err.splitlines()[-1]
    assert "in broken" in err
    assert secret not in err
    assert "\x1b" not in err


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """The first process of a container gets no default for a signal; git goes with it, and what it had written."""
    (tmp_path / "w").mkdir()
    # It takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/acme/web.git"
        arguments = (f"--url={url}", f"--revision={SHA}", f"--destination={tmp_path / 'w'}")
        process = subprocess.Popen(
            [sys.executable, "-m", "mooring", "checkout", *arguments], stderr=subprocess.PIPE, text=True
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        connection.settimeout(60)
        while connection.recv(4096):
            pass  # what git had said; then its end of the connection closes, for it was killed
        connection.close()
    assert process.returncode == 1
    assert err.splitlines()[-1] == "mooring: the checkout failed: it was told to stop."
    assert list((tmp_path / "w").iterdir()) == []
