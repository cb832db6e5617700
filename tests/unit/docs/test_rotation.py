"""What the runbook of secrets tells people to look at exists: fields, reasons, actions of the audit record, keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mooring.crds import definition
from mooring.domain import names
from mooring.domain.audit import Action
from mooring.domain.reasons import ConditionType, Reason
from mooring.domain.resources import KINDS

PAGE = (Path(__file__).parents[3] / "docs" / "runbooks" / "rotation.md").read_text(encoding="utf-8")
PATH = re.compile(r"\.?\b((?:status|spec)(?:\.\w+(?:\[\d*\])?)+)")


def leads(schema: Mapping[str, Any], path: str) -> bool:
    """Tell whether a path such as `status.history[0].trigger` is a field of a schema."""
    for part in path.split("."):
        name, bracket, _ = part.partition("[")
        schema = schema.get("properties", {}).get(name, {})
        if bracket:
            schema = schema.get("items", {})
    return bool(schema)


def test_every_field_that_is_looked_at_exists() -> None:
    schemas = [definition(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for model in KINDS]
    found = set(PATH.findall(PAGE))
    assert not any(leads(schema, "status.webhook.nothing") for schema in schemas)
    assert len(found) > 8
    assert {path for path in found if not any(leads(schema, path) for schema in schemas)} == set()


def test_every_word_for_what_happened_is_one_of_ours() -> None:
    spoken = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", PAGE)) - {"GitHubUser", "GitHubInstallation"}
    assert {"AppRefused", "HooksForbidden"} <= spoken
    assert spoken <= {each.value for each in (*Reason, *ConditionType)}

    actions = set(re.findall(r'[`"]((?:token|hook|webhook|delivery)\.[a-z_]+)[`"]', PAGE))
    assert {"hook.changed", "webhook.keys_made", "delivery.received"} <= actions
    assert actions <= {each.value for each in Action}


def test_the_names_of_secrets_and_keys_are_those_of_the_code() -> None:
    assert f"{names.WEBHOOK_SECRET} -n mooring-system --from-file={names.WEBHOOK_KEY}" in PAGE
    assert f"{names.MANAGED_BY}={names.MANAGER}" in PAGE
