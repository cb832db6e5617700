"""How the operator ends when it was not asked to: one line, with the trace as a field where it is a defect."""

from __future__ import annotations

import asyncio
import json

import pytest

from mooring import __main__ as command
from mooring.handlers.kinds import Ended
from mooring.settings import Settings
from tests.unit.observability.conftest import _logging_as_before  # noqa: F401 - a fixture: the command sets up logging

PLANTED = "what-a-server-said"


def ends_with(
    problem: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> dict[str, object]:
    async def serve(_: Settings) -> int:
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup():
            del outer
            raise problem

    monkeypatch.setenv("MOORING_NAMESPACE", "mooring-system")
    monkeypatch.setenv("MOORING_CHECKOUT_IMAGE", "registry.example.com/m:1")
    monkeypatch.setattr(command, "_serve_operator", serve)
    assert command.main(["operator"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    found: dict[str, object] = json.loads(line)
    assert found["level"] == "critical"
    assert "It has to be started again." in str(found["message"])
    return found


def test_the_end_of_kopf_is_told_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = ends_with(Ended("Kopf cannot go on"), monkeypatch, capfd)
    assert "Kopf cannot go on" in str(found["message"])
    assert "error" not in found


def test_a_defect_is_told_with_its_trace_in_the_same_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = ends_with(RuntimeError(PLANTED), monkeypatch, capfd)
    assert "RuntimeError" in str(found["message"])
    assert PLANTED not in str(found["message"])
    assert "Traceback" in str(found["error"])
