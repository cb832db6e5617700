"""The lab's folder and its env file, without a lab."""

import os
import subprocess
from pathlib import Path

import pytest

from lab.envfile import parse, render
from lab.errors import UsageError
from lab.folder import RESERVE_BYTES, Folder, State, tail, write
from lab.processes import Identity, identify

AWKWARD = {
    "PLAIN": "/tmp/x",  # noqa: S108 - a value, not a file
    "SPACES": "a b",
    "QUOTES": """it's "so" """,
    "SHELL": "$(touch /tmp/never) `id` ; & | > #",
    "EMPTY": "",
    "EQUALS": "a=b=c",
}


def test_an_env_file_is_read_back_as_written() -> None:
    assert parse(render(AWKWARD)) == AWKWARD


def test_a_shell_reads_the_env_file_as_python_does(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(render(AWKWARD))
    script = "set -a; . ./env; env -0"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    seen = dict(one.split("=", 1) for one in done.stdout.split("\0") if one)
    assert AWKWARD.items() <= seen.items()


@pytest.mark.parametrize(("name", "value"), [("A B", "x"), ("1A", "x"), ("A", "one\ntwo"), ("A", "bell\a")])
def test_what_a_line_cannot_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"shell variable|control character"):
        render({name: value})


@pytest.mark.parametrize("text", ["no equals", "lower=x", "A=one two", "A='open"])
def test_a_line_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=value|quotation"):
        parse(text)


def test_written_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    before = os.umask(0)
    try:
        write(path, "first")
        write(path, "second")
    finally:
        os.umask(before)
    assert path.read_text() == "second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_state_is_read_back_as_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.state() is None
    state = State(nodes="none", github=True, processes={"etcd": Identity(12, 34)})
    folder.write_state(state)
    assert folder.state() == state


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text("{")
    with pytest.raises(UsageError, match=r"lab\.json is damaged: remove the folder"):
        Folder(tmp_path).state()


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new" / "lab")
    assert not folder.locked()
    lock = folder.claim()
    assert folder.locked()
    with pytest.raises(UsageError, match="already runs"):
        Folder(folder.path).claim()
    os.close(lock)
    assert not folder.locked()
    os.close(folder.claim())


def test_a_folder_with_somebodys_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine").touch()
    with pytest.raises(UsageError, match="no lab's"):
        Folder(tmp_path).claim()
    assert [path.name for path in tmp_path.rglob("*")] == ["logs", "mine"]


def test_clearing_removes_an_earlier_lab_and_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "lab")
    os.close(folder.claim())
    folder.clear()
    folder.env.touch()
    folder.log("etcd").touch()
    (folder.path / "note").touch()
    folder.clear()
    assert not folder.env.exists()
    assert not folder.log("etcd").exists()
    assert (folder.path / "note").exists()
    assert (folder.path / "reserve").stat().st_size == RESERVE_BYTES
    folder.record_failure("why\n")
    assert folder.failure_text() == "why"
    assert not (folder.path / "reserve").exists()


def test_tail_gives_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == []
    log.write_text("".join(f"line {number}\n" for number in range(5000)))
    assert tail(log, lines=2) == ["line 4998", "line 4999"]


def test_a_process_is_known_by_its_start() -> None:
    me = identify(os.getpid())
    assert me.alive
    stranger = Identity(me.pid, me.started + 1)
    assert not stranger.alive
    assert stranger.wait(0)
