"""The settings that a lab hands out: one NAME=value a line, safe to source in a shell. folder.py writes the file."""

import re
import shlex
from collections.abc import Mapping

NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


def render(values: Mapping[str, str]) -> str:
    """The file's text, in the order of the mapping."""
    lines = []
    for name, value in values.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a shell variable")
        if not value.isprintable():
            raise ValueError(f"the value of {name} has a line break or a control character")
        lines.append(f"{name}={shlex.quote(value)}\n")
    return "".join(lines)


def parse(text: str) -> dict[str, str]:
    """What a shell that sources the text would have set."""
    values = {}
    for line in text.splitlines():
        name, equals, quoted = line.partition("=")
        words = shlex.split(quoted)
        if not equals or not NAME.fullmatch(name) or len(words) > 1:
            raise ValueError(f"not a NAME=value line: {name!r}")
        values[name] = words[0] if words else ""
    return values
