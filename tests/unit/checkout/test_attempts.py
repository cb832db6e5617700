"""The credential's file and the attempts, by a clock that is told when to move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.checkout import limits
from mooring.checkout.credential import Attempts, CredentialFile, configuration
from mooring.checkout.failures import Denied, Failed, Passing
from mooring.checkout.timing import Deadline
from mooring.checkout.words import Teller, basic

HERE, ELSEWHERE = "https://git.example:8443", "https://git.example"
OLD, NEW = "ghs_" + "o" * 36, "ghs_" + "n" * 36


class MadeClock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.meanwhile: Callable[[float], object] = lambda _: None

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.meanwhile(self.at - 1000)


class Bench:
    """Attempts, and a server that is a list of what comes of each."""

    def __init__(self, file: Path | None, *, seconds: float = 600) -> None:
        self.clock, self.lines = MadeClock(), list[str]()
        teller = Teller(self.lines.append)
        credential = None if file is None else CredentialFile(file, teller, HERE)
        self.attempts = Attempts(credential, self.clock, Deadline(self.clock, seconds), teller)
        self.given: list[str | None] = []

    def make(self, *outcomes: Exception | None) -> None:
        """Let each attempt come to one of these, in turn; the last one for ever."""
        left = list(outcomes)

        def attempt(token: str | None) -> None:
            self.given.append(token)
            outcome = left.pop(0) if len(left) > 1 else left[0]
            if outcome is not None:
                raise outcome

        self.attempts.make(attempt)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(OLD + "\n")
    return path


def test_the_file_is_read_anew_for_each_attempt(file: Path) -> None:
    bench = Bench(file)
    bench.clock.meanwhile = lambda _: file.write_text(NEW)
    bench.make(Passing("x"), None)
    assert bench.given == [OLD, NEW]
    file.write_text(OLD)
    bench.make(None)
    assert bench.given == [OLD, NEW, OLD]


def test_a_token_that_was_read_is_in_no_line(file: Path) -> None:
    """Also one that looks like a commit, which is blotted out only because it is known."""
    token = "0123456789" * 4
    file.write_text(token)
    bench = Bench(file)
    bench.make(Passing(f"told {token}"), None)
    assert bench.given == [token, token]
    assert "told [redacted]; trying again" in bench.lines[0]


def test_a_file_that_is_replaced_in_time(file: Path) -> None:
    bench = Bench(file)
    bench.clock.meanwhile = lambda passed: passed < 149 or file.write_text(NEW)
    bench.make(Denied(401, "no"), None)
    assert bench.given == [OLD, NEW]
    assert len(bench.lines) == 1


def test_the_wait_is_bounded_in_all(file: Path) -> None:
    """Tokens that come and are refused in turn do not make it longer."""
    bench = Bench(file)
    count = iter(range(1000))

    def replaced(passed: float) -> None:
        if passed % 50 == 0:
            file.write_text("ghs_" + f"{next(count):036}")

    bench.clock.meanwhile = replaced
    with pytest.raises(Failed, match="within 150 s no other credential came"):
        bench.make(Denied(404, "no"))
    assert bench.clock.now() - 1000 == pytest.approx(limits.CREDENTIAL_SECONDS, abs=2)
    assert 2 <= len(bench.given) <= 4
    assert len(bench.lines) == 1


@pytest.mark.parametrize(("status", "waits"), [(401, True), (403, False), (404, False)])
def test_a_token_that_was_good_does_not_lag_behind(file: Path, status: int, waits: bool) -> None:
    """It lacks a right, unless the server says that it is no good any more."""
    bench = Bench(file)
    bench.make(None)
    with pytest.raises(Failed, match="within 150 s" if waits else "The credential is good"):
        bench.make(Denied(status, "no"))
    assert (bench.clock.now() > 1000) is waits


def test_without_a_file_nothing_is_waited_for() -> None:
    bench = Bench(None)
    with pytest.raises(Failed, match="There is no credential"):
        bench.make(Denied(401, "no"))
    assert bench.clock.now() == 1000


@pytest.mark.parametrize("content", [b"", b"password", b"\xff" * 40, b"ghs_" + b"x" * 5000, b"eyJhbGciOi.eyJh.x"])
def test_what_is_no_token_is_sent_nowhere(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    bench = Bench(file)
    with pytest.raises(Failed, match="holds no GitHub token"):
        bench.make(None)
    assert bench.given == []
    file.unlink()
    late = Bench(file)
    late.clock.meanwhile = lambda _: file.write_text(NEW)
    late.make(None)
    assert late.given == [NEW]


def swap(folder: Path, **files: str) -> None:
    """Replace all files of a volume as the kubelet does."""
    made = folder / f"..{len(list(folder.iterdir()))}"
    made.mkdir()
    for name, content in files.items():
        (made / name).write_text(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(made.name)
    (folder / "..new").rename(folder / "..data")


def test_a_token_for_elsewhere_is_sent_nowhere(tmp_path: Path) -> None:
    swap(tmp_path, token=OLD, origin=ELSEWHERE)
    bench = Bench(tmp_path / "token")
    with pytest.raises(Failed) as failed:
        bench.make(None)
    assert bench.given == []
    assert f"is for {ELSEWHERE}, and this pod fetches from {HERE}" in str(failed.value)
    assert "it ends when the new rollout is through" in str(failed.value)
    assert bench.clock.now() - 1000 == pytest.approx(limits.CREDENTIAL_SECONDS, abs=2)
    assert [f"is for {ELSEWHERE}" in line for line in bench.lines] == [True]


def test_a_token_for_here_is_waited_for(tmp_path: Path) -> None:
    """A pod of the new source may be there before its Secret is; then it goes on for as long as that stays so."""
    swap(tmp_path, token=OLD, origin=ELSEWHERE)
    bench = Bench(tmp_path / "token")

    def arrive(passed: float) -> None:
        if passed >= 100:
            swap(tmp_path, token=NEW, origin=HERE)

    bench.clock.meanwhile = arrive
    bench.make(None)
    assert bench.given == [NEW]
    swap(tmp_path, token=OLD, origin=ELSEWHERE)
    bench.clock.meanwhile = lambda _: None
    with pytest.raises(Failed, match=f"is for {ELSEWHERE}"):
        bench.make(None)
    assert bench.given == [NEW]


@pytest.mark.parametrize(
    "origin",
    ["", f"{HERE}\n", f"{HERE}/", HERE.upper(), "http://git.example:8443", "https://git.example:84430", "x" * 5000],
)
def test_an_origin_is_this_one_to_the_letter(tmp_path: Path, origin: str) -> None:
    swap(tmp_path, token=OLD, origin=origin)
    assert CredentialFile(tmp_path / "token", Teller(print), HERE).read() is None
    swap(tmp_path, token=OLD, origin=HERE)
    assert CredentialFile(tmp_path / "token", Teller(print), HERE).read() == OLD


def test_an_origin_that_cannot_be_read_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(OLD)
    (tmp_path / "origin").mkdir()
    assert CredentialFile(tmp_path / "token", Teller(print), HERE).read() is None


def while_read(monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], object]) -> None:
    """Have something happen each time just before the origin is read."""
    opened = Path.open

    def opening(path: Path, mode: str = "r", **more: Any) -> Any:
        if path.name == "origin" and "r" in mode:
            happens(path)
        return opened(path, mode, **more)

    monkeypatch.setattr(Path, "open", opening)


def test_token_and_origin_are_of_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder that was replaced, the origin may be removed already while the token is there."""
    swap(tmp_path, token=NEW, origin=ELSEWHERE)
    removed: list[Path] = []

    def replace(path: Path) -> None:
        if not removed:
            swap(tmp_path, token=NEW, origin=ELSEWHERE)
            path.unlink()
            removed.append(path)

    while_read(monkeypatch, replace)
    assert CredentialFile(tmp_path / "token", Teller(print), HERE).read() is None
    assert removed[0].with_name("token").read_text() == NEW


def test_files_that_never_stay_are_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swap(tmp_path, token=OLD, origin=HERE)
    looks: list[Path] = []

    def replace(path: Path) -> None:
        looks.append(path)
        assert len(looks) < 10
        swap(tmp_path, token=OLD, origin=HERE)

    while_read(monkeypatch, replace)
    assert CredentialFile(tmp_path / "token", Teller(print), HERE).read() is None


def test_what_passes_is_tried_a_few_times_with_longer_pauses() -> None:
    bench = Bench(None)
    with pytest.raises(Failed, match=r"x \(5 attempts\)"):
        bench.make(Passing("x"))
    assert len(bench.given) == limits.PASSING_ATTEMPTS
    assert 15 * 0.75 <= bench.clock.now() - 1000 <= 15 * 1.25


def test_there_is_an_end_in_any_case(file: Path) -> None:
    bench = Bench(file, seconds=20)
    with pytest.raises(Failed, match="longer than 20 s"):
        bench.make(Denied(401, "no"))
    assert bench.clock.now() <= 1022


def test_the_configuration_is_for_one_origin() -> None:
    text = configuration("https://git.example:8443", OLD)
    assert text == f'[http "https://git.example:8443/"]\n\textraHeader = "Authorization: Basic {basic(OLD)}"\n'
