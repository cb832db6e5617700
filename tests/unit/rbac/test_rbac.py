"""`mooring rbac`, and that the shipped Roles say what they are for and give away nothing by accident."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from mooring import rbac
from mooring.__main__ import main
from mooring.rbac import table

ROOT = Path(__file__).parents[3]
SHIPPED, CHART = ROOT / "manifests" / "rbac", ROOT / "helm" / "mooring" / "templates"
NAMES = [
    "cluster-wide.yaml",
    "gateway-cluster-wide.yaml",
    "gateway-namespaced.yaml",
    "gateway.yaml",
    "namespaced.yaml",
    "operator.yaml",
]
OPERATORS = ["cluster-wide.yaml", "namespaced.yaml", "operator.yaml"]
GATEWAYS = [name for name in NAMES if name not in OPERATORS]

Captured = pytest.CaptureFixture[str]


def documents(file: str, **where: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rbac.files(**where)[file]))


def rules(name: str, kind: str) -> list[dict[str, Any]]:
    (role,) = (document for document in documents(name) if document["kind"] == kind)
    found: list[dict[str, Any]] = role["rules"]
    return found


def test_the_shipped_roles_are_those_of_the_table(capsys: Captured) -> None:
    assert main(["rbac", "--check", str(SHIPPED)]) == 0, capsys.readouterr().out


def test_what_is_written_passes_the_check(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "new" / "rbac"

    assert main(["rbac", "--output", str(folder)]) == 0
    assert main(["rbac", "--check", str(folder)]) == 0
    assert sorted(file.name for file in folder.iterdir()) == NAMES
    assert capsys.readouterr() == ("", "")


def test_the_check_names_every_difference(tmp_path: Path, capsys: Captured) -> None:
    main(["rbac", "--output", str(tmp_path)])
    (tmp_path / NAMES[0]).unlink()
    (tmp_path / NAMES[1]).write_text("rules: []\n", encoding="utf-8")
    (tmp_path / "other.yaml").write_text("", encoding="utf-8")

    assert main(["rbac", "--check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/cluster-wide.yaml: missing",
        f"{tmp_path}/gateway-cluster-wide.yaml: differs from the table",
        f"{tmp_path}/other.yaml: nothing generates it",
        f"run `mooring rbac --output {tmp_path}` and commit the result",
    ]


def test_a_chart_has_the_rights_among_other_templates(tmp_path: Path, capsys: Captured) -> None:
    assert main(["rbac", "--chart", "--check", str(CHART)]) == 0, capsys.readouterr().out
    main(["rbac", "--chart", "--output", str(tmp_path)])
    (tmp_path / "deployment.yaml").write_text("", encoding="utf-8")
    assert main(["rbac", "--chart", "--check", str(tmp_path)]) == 0
    (tmp_path / "rbac.yaml").write_text("", encoding="utf-8")

    assert main(["rbac", "--chart", "--check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/rbac.yaml: differs from the table",
        f"run `mooring rbac --chart --output {tmp_path}` and commit the result",
    ]


@pytest.mark.parametrize("arguments", [["--check", "/nonexistent"], ["--output", "/proc/none"], [], ["--check"]])
def test_bad_input_takes_one_line(arguments: list[str], capsys: Captured) -> None:
    assert main(["rbac", *arguments]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mooring: ")
    assert err.count("\n") == 1


def test_every_document_is_what_kubernetes_takes() -> None:
    found = {name: [document["kind"] for document in documents(name)] for name in NAMES}

    assert found == {
        "operator.yaml": ["ServiceAccount", "Role", "RoleBinding"],
        "cluster-wide.yaml": ["ClusterRole", "ClusterRoleBinding"],
        "namespaced.yaml": ["Role", "RoleBinding"],
        "gateway.yaml": ["ServiceAccount", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
        "gateway-cluster-wide.yaml": ["ClusterRole", "ClusterRoleBinding"],
        "gateway-namespaced.yaml": ["Role", "RoleBinding"],
    }


@pytest.mark.parametrize(("names", "account"), [(OPERATORS, "second"), (GATEWAYS, "third")])
def test_names_and_namespace_may_be_others(names: list[str], account: str) -> None:
    for name in names:
        for document in documents(name, namespace="elsewhere", name="second", gateway="third"):
            assert document["metadata"]["name"].startswith(account)
            assert document["metadata"].get("namespace") in {None, "elsewhere"}
            for subject in document.get("subjects", []):
                assert subject == {"kind": "ServiceAccount", "name": account, "namespace": "elsewhere"}
                assert document["roleRef"]["name"] in {account, f"{account}-watched"}


def test_a_policy_is_about_the_account_that_it_comes_with() -> None:
    _, policy, binding = documents("gateway.yaml", namespace="elsewhere", gateway="third")

    (condition,) = policy["spec"]["matchConditions"]
    assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:elsewhere:third'"
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_an_operator_asks_for_the_token_of_its_own_gateway_alone() -> None:
    for gateway in ("mooring-gateway", "third"):
        _, role, _ = documents("operator.yaml", gateway=gateway)
        (rule,) = (rule for rule in role["rules"] if rule["resources"] == ["serviceaccounts/token"])
        assert rule["resourceNames"] == [gateway]


@pytest.mark.parametrize("name", ["namespaced.yaml", "gateway-namespaced.yaml"])
def test_the_role_for_one_namespace_can_be_applied_to_any(name: str) -> None:
    assert all("namespace" not in document["metadata"] for document in documents(name))


@pytest.mark.parametrize("name", ["operator.yaml", "gateway.yaml"])
def test_an_account_gets_no_token_by_itself(name: str) -> None:
    assert documents(name)[0]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    "grant",
    [*table.WATCHED, *table.CLUSTER, *table.own(), *table.GATEWAY],
    ids=lambda grant: "/".join((*grant.resources, *grant.names)),
)
def test_every_verb_has_a_reason_and_none_is_a_wildcard(grant: table.Grant) -> None:
    assert grant.verbs
    assert all(len(reason) > 10 for reason in grant.verbs.values())
    assert "*" not in {grant.group, *grant.resources, *grant.verbs, *grant.names}
    assert not {"escalate", "bind", "impersonate", "deletecollection"} & grant.verbs.keys()


def test_nothing_reaches_roles_nodes_or_tokens_but_the_gateways_and_pods_are_only_listed() -> None:
    found = [
        (resource, tuple(rule["verbs"]), tuple(rule.get("resourceNames", ())))
        for name in NAMES
        for document in documents(name)
        for rule in document.get("rules", ())
        for resource in rule["resources"]
    ]

    resources = {resource for resource, _, _ in found}
    assert resources.isdisjoint({"pods/exec", "pods/log", "roles", "rolebindings", "clusterroles", "nodes"})
    assert {(verbs, names) for resource, verbs, names in found if resource == "pods"} == {(("list",), ())}
    tokens = [right for right in found if right[0] == "serviceaccounts/token"]
    assert tokens == [("serviceaccounts/token", ("create",), ("mooring-gateway",))]


def test_the_gateway_has_the_same_rights_everywhere_and_in_one_namespace() -> None:
    assert rules("gateway-cluster-wide.yaml", "ClusterRole") == rules("gateway-namespaced.yaml", "Role")
    assert rules("gateway-namespaced.yaml", "Role") == [
        {
            "apiGroups": ["mooring.dev"],
            "resources": ["projects", "githubinstallations"],
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": ["mooring.dev"],
            "resources": ["projects/status", "githubinstallations/status"],
            "verbs": ["patch"],
        },
    ]


def test_a_confined_operator_has_the_same_rights_but_for_the_labels_of_namespaces() -> None:
    confined, everywhere = rules("namespaced.yaml", "Role"), rules("cluster-wide.yaml", "ClusterRole")

    assert [rule for rule in everywhere if rule not in confined] == [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}
    ]
    assert all(rule in everywhere for rule in confined)


def test_rights_in_the_operators_own_namespace_are_on_named_objects() -> None:
    # Kubernetes cannot hold `create` to a name.
    unnamed = [rule for rule in rules("operator.yaml", "Role") if "resourceNames" not in rule]

    assert [(rule["resources"], rule["verbs"]) for rule in unnamed] == [
        (["leases"], ["create"]),
        (["secrets"], ["create"]),
    ]
