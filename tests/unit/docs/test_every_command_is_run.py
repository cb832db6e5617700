"""No command on a page that people follow is typed by nobody else first: a test runs it, or a reason says why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import pages
from tests.pages import EXEMPT, ROOT, Block, Command, Exemption

EVERY = [command for page in pages.followed() for command in pages.commands(page)]
CLAIMS = pages.claims()
# What is printed, and no part of a file: the first words of such blocks.
PRINTED = ("NAME ", "SECRET ", "https://")
PLANTED = """# A page

Say `kubectl get` for a look, or type `kubectl get projects.mooring.dev shop -o yaml` at once.

    NAME   READY
    shop   True

## Second

1. Do it:

       kubectl create secret generic any --from-literal=a=b |
         kubectl apply -f - <<'YAML'
       kind: Project

       YAML
       kubectl get secrets

```yaml
kubectl: not a command
```

```sh
helm version
```
"""


def test_what_is_planted_is_found() -> None:
    found = list(pages.commands_in("page.md", PLANTED.replace("\n\n       YAML", "\n       YAML")))
    first, created, listed, fenced = found
    assert first == Command("page.md", "A page", "kubectl get projects.mooring.dev shop -o yaml")
    assert created.text.splitlines()[1:] == ["  kubectl apply -f - <<'YAML'", "kind: Project", "YAML"]
    assert (listed.section, listed.text) == ("Second", "kubectl get secrets")
    assert fenced.text == "helm version"

    claimed, exempt = {"page.md": ("Second",)}, Exemption("page.md", "kubectl get", "why")
    assert pages.left_out(found, [], []) == found
    assert pages.left_out(found, [claimed], []) == [first]
    assert pages.left_out(found, [], [exempt]) == [created, fenced]
    assert pages.left_out(found, [{"page.md": ("A page",)}], [exempt]) == [created, fenced]


def test_a_claim_is_read_from_a_module(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text('"""It."""\n\nRUN_HERE = {"page.md": ("Second",)}\n')
    assert pages.claims(tmp_path / "tests") == {"tests/test_it.py": {"page.md": ("Second",)}}


def test_every_command_is_run_by_a_test() -> None:
    assert len(EVERY) > 120
    assert [
        f"{each.page}: {each.section}: {each.text}" for each in pages.left_out(EVERY, CLAIMS.values(), EXEMPT)
    ] == []


@pytest.mark.parametrize("module", sorted(CLAIMS))
def test_a_claim_is_of_sections_that_have_commands_and_is_used(module: str) -> None:
    there = {(command.page, command.section) for command in EVERY}
    claimed = {(page, section) for page, sections in CLAIMS[module].items() for section in sections}
    assert claimed - there == set()

    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    reads = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == pages.CONSTANT]
    assert any(isinstance(node.ctx, ast.Load) for node in reads), "nothing in it goes through what it claims"


@pytest.mark.parametrize("exemption", EXEMPT, ids=lambda it: f"{it.page}: {it.start}")
def test_an_exemption_is_of_something(exemption: Exemption) -> None:
    assert any(exemption.holds(command) for command in EVERY)
    assert len(exemption.reason.split()) > 5


def test_no_block_is_overlooked() -> None:
    every: list[Block] = [block for page in pages.followed() for block in pages.blocks(page)]
    others = [block for block in every if not block.is_command and not block.is_yaml]
    assert {block.text for block in others if not block.text.startswith(PRINTED)} == set()


def test_what_make_is_asked_for_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = [command.text.partition("#")[0].split()[1:] for command in EVERY if command.text.startswith("make ")]
    assert len(asked) > 5
    assert {word for words in asked for word in words if "=" not in word} - targets == set()


def test_a_reader_finds_every_page() -> None:
    readme, runbooks = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/runbooks/README.md"))
    guides = [page for page in pages.followed() if page.startswith("docs/guide/")]
    others = [Path(page).name for page in pages.followed() if page.startswith("docs/runbooks/")]
    assert [
        page for page in [*guides, "docs/comparison.md", "docs/runbooks/README.md"] if f"({page})" not in readme
    ] == []
    assert [name for name in others if name != "README.md" and f"({name})" not in runbooks] == []
