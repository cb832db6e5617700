"""When the gateway's credential is renewed, and how its files are replaced. Time is made."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.ports import Identity
from mooring.services import gateway_identity as module
from mooring.services.gateway_identity import GatewayIdentity, gateway_identity
from mooring.settings import Settings, SettingsError
from tests.unit.services.timelines import Timeline

HOUR = timedelta(hours=1)
LEAST = {"MOORING_NAMESPACE": "mooring-system", "MOORING_CHECKOUT_IMAGE": "registry.example.com/m:1"}


class Issuer:
    """Gives out numbered credentials."""

    def __init__(self, time: Timeline) -> None:
        self.time = time
        self.asked: list[datetime] = []
        self.account = "mooring-gateway"
        self.life = HOUR
        self.ahead = timedelta()
        self.trouble: Exception | None = None
        self.ca = "first authority"

    async def issue(self, account: str, seconds: int) -> Identity:
        assert (account, seconds) == (self.account, 3600)
        self.asked.append(self.time.now())
        if self.trouble is not None:
            raise self.trouble
        return Identity(f"credential-{len(self.asked)}", self.time.now() + self.ahead + self.life)

    async def authorities(self) -> str:
        return self.ca


class Case:
    def __init__(self, folder: Path) -> None:
        self.time, self.folder = Timeline(), folder
        self.issuer = Issuer(self.time)
        self.identity = GatewayIdentity(self.issuer, self.time, folder, "mooring-system", waiting=self.time.wait)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.identity.keep())
        await self.time.settle()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text()

    def gaps(self) -> list[float]:
        times = self.issuer.asked
        return [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize("life", [600, 3600])
async def test_it_is_renewed_at_two_thirds_of_its_life(case: Case, life: int) -> None:
    case.issuer.life = timedelta(seconds=life)
    async with case.running():
        assert case.token == "credential-1"
        await case.time.run(life * 2 / 3 - 1)
        assert case.token == "credential-1"
        await case.time.run(2)
        assert case.token == "credential-2"
        await case.time.run(life * 10)
    assert len(case.issuer.asked) == 17


@pytest.mark.parametrize("ahead", [timedelta(hours=-5), timedelta(hours=5), timedelta(days=365)])
async def test_a_wrong_clock_makes_neither_a_storm_nor_an_old_credential(case: Case, ahead: timedelta) -> None:
    case.issuer.ahead = ahead
    async with case.running():
        await case.time.run(6 * 3600)
    assert all(40 <= gap <= 2400 for gap in case.gaps())
    assert case.gaps()


async def test_a_machine_that_was_stopped_renews_when_it_goes_on(tmp_path: Path) -> None:
    case, waits = Case(tmp_path), list[float]()

    async def wait(event: asyncio.Event, seconds: float) -> None:
        # What waits counts the seconds that the machine runs; that many are left when it goes on.
        waits.append(seconds)
        case.time.moment += HOUR
        await case.time.wait(event, seconds)

    case.identity = GatewayIdentity(case.issuer, case.time, tmp_path, "mooring-system", waiting=wait)
    async with case.running():
        await case.time.run(module.LOOK + 1)
    assert case.token == "credential-2"
    assert max(waits) <= module.LOOK


@pytest.mark.parametrize(
    "trouble", [Transient(Reason.CLUSTER_UNAVAILABLE, "It is away."), RuntimeError("a defect"), OSError(28, "full")]
)
async def test_trouble_is_told_once_and_tried_again(
    case: Case, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    async with case.running():
        case.issuer.trouble = trouble
        await case.time.run(2400 + 600)
        assert case.token == "credential-1"
        # Ever more slowly, at least once a minute: there is a third of an hour until it ends.
        assert 10 <= len(case.issuer.asked) <= 40
        case.issuer.trouble = None
        await case.time.run(61)
        assert case.token == f"credential-{len(case.issuer.asked)}"
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "could not be renewed" in warnings[0]


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """Let nobody but the owner read new files, as some images do."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
async def test_the_files_are_replaced_at_once_and_follow_the_cluster(case: Case) -> None:
    async with case.running():
        reader = (case.folder / "token").open()
        (case.folder / "token").chmod(0o600)
        # What a crash left behind.
        (case.folder / ".token.new").write_text("half a tok")
        (case.folder / ".token.new").chmod(0o400)
        case.issuer.ca = "second authority"
        await case.time.run(2401)
        with reader:
            assert reader.read() == "credential-1"
    assert case.token == "credential-2"
    assert (case.folder / "ca.crt").read_text() == "second authority"
    assert (case.folder / "namespace").read_text() == "mooring-system"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in case.folder.iterdir()}
    assert modes == dict.fromkeys(("token", "ca.crt", "namespace"), 0o440)


async def test_whoever_sees_the_token_finds_the_rest(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    original = Path.replace

    def noted(self: Path, target: Path) -> Path:
        order.append(target.name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", noted)
    async with case.running():
        pass
    assert order == ["ca.crt", "namespace", "token"]


async def test_no_credential_is_shown(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with case.running():
            (case.folder / "token").unlink()
            (case.folder / "token").mkdir()
            await case.time.run(5000)
    assert "cannot be written" in caplog.text
    assert "credential-" not in caplog.text
    assert "credential-" not in repr(await case.issuer.issue("mooring-gateway", 3600))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_it_is_kept_only_where_somebody_wants_it_and_can_be(tmp_path: Path) -> None:
    time = Timeline()
    assert await gateway_identity(Settings.load(LEAST), Issuer(time), time) is None
    settings = Settings.load({**LEAST, "MOORING_GATEWAY_TOKEN_DIR": str(tmp_path)})
    assert await gateway_identity(settings, Issuer(time), time) is not None
    assert files(tmp_path) == {"ca.crt", "namespace"}
    (tmp_path / "ca.crt").unlink()
    (tmp_path / "ca.crt").mkdir()
    with pytest.raises(SettingsError, match="MOORING_GATEWAY_TOKEN_DIR names a folder that cannot be written"):
        await gateway_identity(settings, Issuer(time), time)


async def test_the_account_may_have_another_name(tmp_path: Path) -> None:
    time = Timeline()
    issuer = Issuer(time)
    issuer.account = "other"
    given = {**LEAST, "MOORING_GATEWAY_TOKEN_DIR": str(tmp_path), "MOORING_GATEWAY_ACCOUNT": "other"}
    identity = await gateway_identity(Settings.load(given), issuer, time)
    assert identity is not None

    task = asyncio.create_task(identity.keep())
    await time.settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (tmp_path / "token").read_text() == "credential-1"
