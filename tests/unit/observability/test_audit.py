"""The audit record: what a line has, that none is lost, and that the services use words of the reference only."""

import ast
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.domain.audit import FACTS, Action
from mooring.domain.fingerprints import fingerprint
from mooring.observability import configure
from mooring.observability.audit import AuditLog
from mooring.ports import Audit

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference" / "audit.md"
TOKEN = "ghp_" + "Zq8Yw7Xv6U" * 4
ABOUT = {"kind": "Project", "namespace": "team-a", "name": "shop"}


@pytest.fixture
def streams() -> tuple[io.StringIO, io.StringIO]:
    errors, output = io.StringIO(), io.StringIO()
    configure("error", errors=errors, output=output)
    return errors, output


def _line(stream: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def test_a_record_is_one_line_on_standard_output_at_every_level(streams: tuple[io.StringIO, io.StringIO]) -> None:
    audit: Audit = AuditLog()

    audit.record("token.given", **ABOUT, source="project", previous=None, fingerprint=fingerprint("uid", TOKEN))

    errors, output = streams
    line = _line(output)
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "logger": "mooring.audit",
        "message": Action.TOKEN_GIVEN.sentence,
        "action": "token.given",
        "object": ABOUT,
        "source": "project",
        "fingerprint": fingerprint("uid", TOKEN),
    }
    assert errors.getvalue() == ""


def test_a_fact_that_nobody_documented_is_left_out_and_the_record_kept(
    streams: tuple[io.StringIO, io.StringIO],
) -> None:
    AuditLog().record("token.given", **ABOUT, value="hunter2", login="octocat")

    errors, output = streams
    assert _line(output)["login"] == "octocat"
    assert "no fact value" in _line(errors)["message"]
    assert "hunter2" not in errors.getvalue() + output.getvalue()


def test_an_unknown_action_is_recorded(streams: tuple[io.StringIO, io.StringIO]) -> None:
    AuditLog().record("token.eaten", **ABOUT)

    assert _line(streams[1])["action"] == "token.eaten"


def test_a_value_in_a_known_fact_is_blotted_out(streams: tuple[io.StringIO, io.StringIO]) -> None:
    AuditLog().record("token.given", **ABOUT, secret=TOKEN)

    assert _line(streams[1])["secret"] == "[redacted]"


class Pipe(io.StringIO):
    """Counts how often what was written goes out."""

    flushes = 0

    def flush(self) -> None:
        """Take note of it."""
        self.flushes += 1


def test_lines_of_one_turn_go_out_together_and_none_waits_for_another_turn() -> None:
    pipe, turns = Pipe(), list[Callable[[], None]]()
    configure("error", errors=io.StringIO(), output=pipe)
    audit = AuditLog(turns.append)
    for number in range(3):
        audit.record("token.given", **ABOUT, login=f"octocat-{number}")
    assert (pipe.flushes, len(turns)) == (0, 1)
    turns.pop()()
    assert [json.loads(line)["login"] for line in pipe.getvalue().splitlines()] == [f"octocat-{n}" for n in range(3)]
    assert pipe.flushes == 1
    audit.record("token.given", **ABOUT, login="later")
    assert len(turns) == 1


def test_a_stream_that_is_gone_ends_nothing() -> None:
    class Gone(Pipe):
        def flush(self) -> None:
            raise BrokenPipeError

    turns = list[Callable[[], None]]()
    configure("error", errors=io.StringIO(), output=Gone())
    AuditLog(turns.append).record("token.given", **ABOUT)
    turns.pop()()


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file in sorted((ROOT / "operator" / "mooring").glob("*/**/*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "record":
                yield f"{file.name}:{node.lineno}", node


def test_the_code_records_documented_facts_alone() -> None:
    known = {*FACTS, "kind", "namespace", "name", None}
    wrong = [f"{where}: {word.arg}" for where, call in _calls() for word in call.keywords if word.arg not in known]

    assert wrong == []


def test_the_code_records_documented_actions_alone() -> None:
    services = ROOT / "operator" / "mooring" / "services"
    found = {
        word
        for file in services.glob("**/*.py")
        for word in re.findall(r'"(token\.[a-z_]+)"', file.read_text(encoding="utf-8"))
    }

    assert found <= {action.value for action in Action}


def test_the_reference_has_every_action_and_every_fact_in_these_words() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*) \|$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE))

    assert rows == {**{action.value: action.sentence for action in Action}, **FACTS}
