"""Each value of the chart changes what it should, and nothing else; nonsense is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.chart.rendering import (
    CHART,
    GONE,
    Refused,
    at,
    changed,
    helm,
    leaves,
    matching,
    merged,
    nested,
    render,
)
from tests.cluster.chart.table import CASES, Case, everything

# Helm itself hands it down from a chart that contains this one.
NOT_OURS = {"global"}
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.leaf)
def test_a_value_changes_what_it_should_and_nothing_else(case: Case) -> None:
    before = render(case.beside)
    after = render(merged(case.beside, nested(case.leaf, case.value)))

    found = changed(before, after)
    strangers = found.difference(*(matching(found, pattern) for pattern in case.changes))
    assert not strangers, f"{case.leaf} also changes {sorted(strangers)}"
    for pattern, stands in case.changes.items():
        # All of them where something is said of each.
        names = matching(before.keys() | after.keys() if stands else found, pattern)
        assert names, f"{case.leaf} changes no {pattern}"
        assert names <= found, f"{case.leaf} does not change {sorted(names - found)}"
        for name in names:
            for path, value in stands.items():
                _check(f"{name} {path}", after.get(name, GONE), path, value)


def _check(where: str, document: Any, path: str, value: Any) -> None:
    if document is GONE:
        assert value is GONE, f"{where}: the object is gone"
        return
    found = at(document, path)
    if value is GONE:
        assert found == [], where
        return
    # Several places: all have this value, or these values one after the other.
    in_turn = isinstance(value, list) and found == value
    assert found, f"{where} is not there"
    assert in_turn or all(one == value for one in found), f"{where}: {found} instead of {value}"


def test_every_value_has_its_case() -> None:
    assert {case.leaf for case in CASES} == set(leaves(SCHEMA)) - NOT_OURS


def test_a_user_may_be_left_to_the_cluster() -> None:
    for name, document in render({"podSecurity": {"runAsUser": None}}).items():
        if name.startswith(("Deployment/", "Job/")):
            assert document["spec"]["template"]["spec"]["securityContext"] == {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            }


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"imge": {}}, "imge"),
        ({"image": {"tag": "not a tag"}}, "/image/tag"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"operator": {"replicas": 0}}, "/operator/replicas"),
        ({"operator": {"replicas": "two"}}, "/operator/replicas"),
        ({"operator": {"resources": {"limits": {"memory": "lots"}}}}, "/operator/resources/limits/memory"),
        ({"operator": {"resources": {"limit": {}}}}, "/operator/resources"),
        ({"operator": {"tolerations": [{"effect": "Never"}]}}, "/operator/tolerations/0/effect"),
        ({"watchNamespaces": "red"}, "/watchNamespaces"),
        ({"watchNamespaces": ["Red"]}, "/watchNamespaces/0"),
        ({"watchNamespaces": ["red", "red"]}, "/watchNamespaces"),
        ({"github": {"apiUrl": "ghes.example.com"}}, "/github/apiUrl"),
        ({"github": {"apiUrl": "https://me:secret@ghes.example.com"}}, "/github/apiUrl"),
        ({"gateway": {"url": "mooring.example.com"}}, "/gateway/url"),
        ({"gateway": {"mode": "sidecar"}}, "/gateway/mode"),
        ({"gateway": {"trustedProxies": ["proxy"]}}, "/gateway/trustedProxies/0"),
        ({"policy": {"content": {"binding": []}}}, "/policy/content"),
        ({"policy": {"content": {"bindings": [{"appId": 1}]}}}, "/policy/content/bindings/0"),
        ({"settings": {"sweepInterval": "10"}}, "/settings/sweepInterval"),
        ({"settings": {"sweepInterval": ""}}, "/settings/sweepInterval"),
        ({"networkPolicy": {"webhooksFrom": [{}]}}, "/networkPolicy/webhooksFrom/0"),
        ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser"),
        # What no schema can say.
        ({"github": {"caConfigMap": "a", "caSecret": "b"}}, "are both set: name one of them"),
        ({"github": {"apiUrl": "http://ghes.example.com"}}, "plain http needs settings.development"),
        ({"gateway": {"url": "http://mooring.example.com"}}, "plain http needs settings.development"),
        ({"ingress": {"enabled": True}}, "ingress.enabled needs gateway.url"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.enabled needs gateway.url"),
        ({"gateway": {"url": "https://a.b"}, "httpRoute": {"enabled": True}}, "needs httpRoute.parentRefs"),
        ({"gateway": {"url": "https://a.b/c"}, "ingress": {"enabled": True}}, "gateway.url has the path /c"),
    ],
    ids=str,
)
def test_nonsense_is_refused_and_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused) as refused:
        render(values)
    told = str(refused.value)
    assert says in told.replace("'", "").replace(".", "/") or says in told


def test_plain_http_is_for_one_s_own_machine() -> None:
    values = {"github": {"apiUrl": "http://github.test:8080"}, "gateway": {"url": "http://mooring.test"}}
    found = render({**values, "settings": {"development": True}})

    assert at(found["NetworkPolicy/mooring-operator"], "spec/egress/2/ports/*/port") == [8080, 443]


def test_helm_finds_nothing_wrong_with_everything_switched_on() -> None:
    helm("lint", "--strict", str(CHART), "--values", "-", stdin=json.dumps(everything()))


@pytest.mark.parametrize(
    ("values", "says", "not_said"),
    [
        ({}, "none, since gateway.url is not set", "Nothing leads there"),
        ({"gateway": {"url": "https://m.example.com/"}}, "https://m.example.com/webhooks/github", "is not set"),
        ({"gateway": {"url": "https://m.example.com"}}, "Nothing leads there yet", "is not set"),
        (
            {"gateway": {"url": "https://m.example.com"}, "ingress": {"enabled": True}},
            "https://m.example.com/webhooks/github",
            "Nothing leads there",
        ),
        ({"watchNamespaces": ["red", "blue"]}, "the namespaces red, blue", "all namespaces"),
    ],
)
def test_the_notes_say_the_url_of_webhooks_and_the_next_step(values: dict[str, Any], says: str, not_said: str) -> None:
    notes = helm(
        *("install", "mooring", str(CHART), "--dry-run=client", "--namespace", "mooring-system", "--values", "-"),
        stdin=json.dumps(values),
    ).rpartition("NOTES:")[2]

    assert says in notes
    assert not_said not in notes
    assert "docs/guide/first-project.md" in notes
