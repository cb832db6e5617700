"""Who is asked of its rights: an account by its token, and the rights that the shipped files give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import yaml

from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import ROOT, Kube

# Verb, group, resource (with its subresource), name.
Right = tuple[str, str, str, str]
# Every account has these, so that it can ask about itself.
ABOUT_ITSELF = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


class Account:
    """The API server, asked with a kubeconfig's own rights about those."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kube = Kube(Access.load(kubeconfig), str(kubeconfig))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kube.close()

    def _review(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        status, answer = self.kube.request("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
        assert status == 201, answer
        return dict(answer["status"])

    def may(self, verb: str, group: str, resource: str, name: str, namespace: str) -> bool:
        """Tell whether something is allowed; without a namespace, in all of them."""
        resource, _, sub = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": sub, "name": name}
        found = self._review("SelfSubjectAccessReview", {"resourceAttributes": {**asked, "namespace": namespace}})
        return bool(found["allowed"])

    def rules(self, namespace: str) -> set[Right]:
        """Return all that is allowed in a namespace: verb, group, resource, name."""
        found = self._review("SelfSubjectRulesReview", {"namespace": namespace})
        assert not found.get("incomplete"), found
        return {right for right in rights(found["resourceRules"]) if right[2] not in ABOUT_ITSELF}


def rights(rules: list[dict[str, Any]]) -> set[Right]:
    """Return the rights of rules one by one."""
    return {
        (verb, group, resource, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule.get("apiGroups") or [""]
        for resource in rule.get("resources") or []
        for name in rule.get("resourceNames") or [""]
    }


def shipped(file: str, kind: str) -> set[Right]:
    """Return the rights that a shipped file gives."""
    manifests = yaml.safe_load_all((ROOT / "manifests" / "rbac" / file).read_text())
    return {right for manifest in manifests if manifest["kind"] == kind for right in rights(manifest["rules"])}
