"""What the guide for several tenants says in numbers and words is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mooring.domain.policy import IngressPolicy, Policy
from mooring.domain.reasons import Reason
from mooring.domain.webhooks.sharing import LARGEST_SHARE
from mooring.gateway.limits import Limits as GatewayLimits
from mooring.github.limits import LIMITS

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "tenants.md").read_text(encoding="utf-8")


def numbers(line: str) -> list[int]:
    return [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\d|\d", line)]


def row(start: str) -> list[int]:
    """Return the numbers in the last two columns of a row."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| {start}")]
    return numbers("|".join(line.split("|")[-3:]))


@pytest.mark.parametrize(
    ("start", "burst", "rate"),
    [
        ("all requests", LIMITS.namespace_burst, LIMITS.namespace_rate),
        ("with tokens of one installation", LIMITS.installation_burst, LIMITS.installation_rate),
        ("with the JWT of one App", LIMITS.app_burst, LIMITS.app_rate),
        ("without a credential", LIMITS.anonymous_burst, LIMITS.anonymous_rate),
    ],
)
def test_the_shares_are_those_of_the_code(start: str, burst: int, rate: float) -> None:
    assert row(start) == [burst, round(rate * 3600)]


def test_the_other_shares_are_those_of_the_code() -> None:
    gateway = GatewayLimits()
    assert f"At most {LIMITS.namespace_in_flight} requests" in PAGE
    assert f"{gateway.owner_burst:,} at once and {gateway.owner_a_second:.0f} a second" in PAGE
    assert f"[{LARGEST_SHARE // 1024} KiB]" in PAGE


def test_each_part_of_the_policy_is_spoken_of_with_a_reason_that_exists() -> None:
    section = PAGE.partition("## What the policy limits")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ") and "`" in line]
    named = set(re.findall(r"`([\w.]+)`", "".join(cells[2] for cells in rows)))
    fields = {info.alias or name for name, info in Policy.model_fields.items()} - {"ingress", "rawPodTemplates"}
    fields |= {f"ingress.{info.alias or name}" for name, info in IngressPolicy.model_fields.items()}

    assert named == fields
    assert {word for cells in rows for word in re.findall(r"`(\w+)`", cells[3])} <= {each.value for each in Reason}


def test_the_network_policy_can_be_read() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    body = yaml.safe_load(text)
    assert (body["kind"], body["spec"]["policyTypes"]) == ("NetworkPolicy", ["Ingress", "Egress"])
