"""Taking a changed policy over while the operator runs."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mooring.domain.policy import Policy
from mooring.settings import Settings
from mooring.wiring import adopt_policy
from tests.unit.services.platforms import platform

SETTINGS = Settings.load({"MOORING_NAMESPACE": "mooring-system", "MOORING_CHECKOUT_IMAGE": "registry.example.com/m:1"})


def config_map(text: str) -> dict[str, Any]:
    return {"data": {"policy.yaml": text}}


def test_a_changed_policy_counts_from_now_on_and_its_hosts_with_it() -> None:
    running = platform()
    git = "https://git.example.com/acme/shop.git"
    assert not running.allowed_hosts.allows(git)
    assert adopt_policy(SETTINGS, running, config_map("allowedHosts: [git.example.com]"))
    assert running.policy.allowed_hosts == ("git.example.com",)
    assert running.allowed_hosts.allows(git)
    assert running.allowed_hosts.allows(SETTINGS.github_api_url)


def test_the_same_again_is_no_news() -> None:
    running = platform()
    assert not adopt_policy(SETTINGS, running, None)
    assert adopt_policy(SETTINGS, running, config_map("rawPodTemplates: true"))
    before = running.policy
    assert not adopt_policy(SETTINGS, running, config_map("# the same\nrawPodTemplates: true"))
    assert running.policy is before


def test_a_removed_policy_allows_nothing() -> None:
    running = platform()
    adopt_policy(SETTINGS, running, config_map("allowedHosts: [git.example.com]"))
    assert adopt_policy(SETTINGS, running, None)
    assert running.policy == Policy()
    assert not running.allowed_hosts.allows("https://git.example.com/acme/shop.git")


@pytest.mark.parametrize(
    "found",
    [config_map("allowedHosts: ["), config_map("allowedHost: [a]"), config_map("a" * 2_000_000), {"data": {"x": ""}}],
    ids=["yaml", "field", "size", "key"],
)  # fmt: skip
def test_one_that_cannot_be_read_changes_nothing_and_is_told(
    found: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    running = platform()
    adopt_policy(SETTINGS, running, config_map("allowedHosts: [git.example.com]"))
    before, hosts = running.policy, running.allowed_hosts
    with caplog.at_level(logging.INFO):
        caplog.clear()
        assert not adopt_policy(SETTINGS, running, found)
    assert (running.policy, running.allowed_hosts) == (before, hosts)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "ConfigMap mooring-system/mooring-policy is not used" in record.message
    assert len(record.message) < 2000


def test_a_config_map_without_data_is_told_like_one_without_the_key() -> None:
    """`kubectl create configmap mooring-policy` makes one without data: the key is missing, not the policy."""
    running = platform()
    adopt_policy(SETTINGS, running, config_map("allowedHosts: [git.example.com]"))
    assert not adopt_policy(SETTINGS, running, {"metadata": {"name": "mooring-policy"}})
    assert running.policy.allowed_hosts == ("git.example.com",)
