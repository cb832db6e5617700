"""Holds every webhook body that the lab sends against GitHub's own schemas, so that the lab is not a home-made truth.

The schemas refuse unknown properties. `UNNAMED` lists what GitHub sends and they, no longer kept up, do not name.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from lab.github import documents

logger = logging.getLogger("lab.github.webhook_contract")

UNNAMED: dict[str, dict[str, Any]] = {
    "user": {"user_view_type": {"enum": ["public", "private"]}},
    "installation": {"client_id": {"type": "string"}},
}

KEPT_VIOLATIONS = 1000
REPORTED = 3


class WebhookContract:
    """Checks bodies and keeps what it found; an unknown event is a violation too."""

    def __init__(self, violations: list[str]) -> None:
        self._violations = violations

    def check(self, event: str, payload: Mapping[str, Any]) -> None:
        """Note what is wrong with a body; it is sent nevertheless, and the test that caused it fails."""
        for problem in problems(event, payload):
            logger.error("the body of %s breaks GitHub's schema: %s", event, problem)
            if len(self._violations) < KEPT_VIOLATIONS:
                self._violations.append(f"webhook {event}: {problem}")


def problems(event: str, payload: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a body, the first few things."""
    name = f"{event}${payload.get('action', 'event')}"
    validator = _validator(name)
    if validator is None:
        return [f"GitHub's schemas know no {name.replace('$', ' ')}"]
    found = []
    for error in validator.iter_errors(payload):
        found.append(f"{'/'.join(str(part) for part in error.instance_path) or 'the body'}: {error.message[:300]}")
        if len(found) == REPORTED:
            break
    return found


@cache
def _definitions() -> dict[str, Any]:
    document = json.loads(documents.path(documents.WEBHOOK_SCHEMAS, "schema.json").read_bytes())
    return _adapted(document["definitions"])


@cache
def _validator(name: str) -> jsonschema_rs.Draft7Validator | None:
    definitions = _definitions()
    if name not in definitions:
        return None
    schema = {**definitions[name], "definitions": definitions}
    return jsonschema_rs.Draft7Validator(schema, validate_formats=True)


def _adapted(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Name the unnamed, and drop each definition's own `$schema`, which would make a document of its own out of it."""
    adapted = {name: {k: v for k, v in schema.items() if k != "$schema"} for name, schema in definitions.items()}
    for name, properties in UNNAMED.items():
        adapted[name] = {**adapted[name], "properties": {**adapted[name]["properties"], **properties}}
    # GitHub's example was a hook that had never been used; a later ping tells the code of the last answer.
    hook = copy.deepcopy(adapted["ping$event"])
    answer = hook["properties"]["hook"]["properties"]["last_response"]["properties"]
    answer["code"], answer["message"] = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
    return {**adapted, "ping$event": hook}
