"""The limit of open files, which is the process's: another one is started for it."""

import resource
import subprocess
import sys

import pytest

from mooring import __main__ as command
from mooring.gateway.files import MOST_FILES

LIMITED = """
import resource
from mooring.gateway.files import raise_files_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
raise_files_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def after(soft: int, hard: int) -> tuple[int, int]:
    code = LIMITED.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    found = done.stdout.split()
    return int(found[0]), int(found[1])


def test_as_many_files_as_the_system_allows_and_no_more() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    assert after(64, hard) == (most, hard)
    assert after(64, 500) == (500, 500)
    assert after(500, 500) == (500, 500)


def test_the_command_raises_it_before_it_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    done: list[str] = []

    async def serve(_: object) -> int:
        done.append("serves")
        return 0

    monkeypatch.setattr("mooring.gateway.files.raise_files_limit", lambda: done.append("raised"))
    monkeypatch.setattr("mooring.observability.logs.configure", lambda _: None)
    monkeypatch.setattr(command, "_serve_gateway", serve)
    monkeypatch.setenv("MOORING_WEBHOOK_DIR", str(tmp_path))
    monkeypatch.setenv("MOORING_NAMESPACE", "mooring-system")
    assert command.main(["gateway"]) == 0
    assert done == ["raised", "serves"]
