"""The children of a Project: single tests for what must never be otherwise. The whole is in `test_golden.py`."""

import json
from typing import Any

import pytest

from mooring.domain.errors import Stalled
from mooring.domain.manifests import (
    DeploymentInputs,
    TokenMount,
    children,
    deployment,
    digest,
    ingress,
    service,
    token_secret,
)
from mooring.domain.manifests.checkout import credential_of
from mooring.domain.manifests.second import second
from mooring.domain.reasons import Reason
from mooring.domain.resources import Project
from mooring.domain.resources.project_status import RevisionStatus
from tests.unit.domain.manifests.cases import CASES, TOKEN, UID, Case, checkout, revision

WORKLOAD = {"image": "registry.example.com/acme/shop:1"}
MOUNT = TokenMount(secret_name="shop-default-token", checksum="aa")
ALL_CASES = pytest.mark.parametrize("name", sorted(CASES))


def pod(inputs: DeploymentInputs, **workload: Any) -> dict[str, Any]:
    """The pod's spec of a Project with such a workload."""
    manifest = deployment(Case({"workload": {**WORKLOAD, **workload}}, inputs).project(), inputs)
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def exposed(ports: list[dict[str, Any]], **expose: Any) -> Project:
    """A Project that is exposed."""
    spec = {"workload": {**WORKLOAD, "ports": ports}, "expose": expose}
    return Case(spec, DeploymentInputs(revision=RevisionStatus())).project()


@ALL_CASES
def test_is_plain_data_and_the_same_every_time(name: str) -> None:
    manifests = CASES[name].manifests()

    assert json.dumps(manifests) == json.dumps(CASES[name].manifests())
    assert json.loads(json.dumps(manifests)) == manifests


@ALL_CASES
def test_every_child_belongs_to_the_project_alone(name: str) -> None:
    for manifest in CASES[name].manifests():
        (owner,) = manifest["metadata"]["ownerReferences"]

        assert owner["uid"] == UID
        assert owner["controller"] is True
        assert manifest["metadata"]["namespace"] == "team-a"


@ALL_CASES
def test_the_token_stands_in_its_secret_and_nowhere_else(name: str) -> None:
    case = CASES[name]
    others = [manifest for manifest in case.manifests() if manifest["kind"] != "Secret"]

    assert TOKEN not in json.dumps(case.manifests())
    for secret in (manifest for manifest in case.manifests() if manifest["kind"] == "Secret"):
        (encoded,) = secret["data"].values()
        assert encoded not in json.dumps(others)


def test_children_come_in_the_order_in_which_they_refer_to_each_other() -> None:
    kinds = [manifest["kind"] for manifest in CASES["everything"].manifests()]

    assert kinds == ["Secret", "Deployment", "Service", "Ingress"]


@pytest.mark.parametrize(("token", "mount"), [(TOKEN, None), (None, MOUNT)])
def test_a_token_without_its_mount_is_a_mistake(token: str | None, mount: TokenMount | None) -> None:
    inputs = DeploymentInputs(revision=RevisionStatus(), token=mount)

    with pytest.raises(ValueError, match="come together"):
        children(Case({"workload": WORKLOAD}, inputs).project(), token, inputs)


def test_a_project_that_was_never_stored_has_no_children() -> None:
    project = Project.model_validate({"metadata": {"name": "shop"}, "spec": {"workload": WORKLOAD}})

    with pytest.raises(ValueError, match="read it from the API server"):
        token_secret(project, TOKEN)


# --- digest ---


def test_a_secret_gets_no_digest() -> None:
    case = CASES["suspended"]
    secret = case.manifests()[0]

    assert "annotations" not in secret["metadata"]
    with pytest.raises(ValueError, match="Secret"):
        digest(secret)


def test_the_digest_tells_wishes_apart_and_does_not_count_itself() -> None:
    manifest = CASES["public-source"].manifests()[0]
    changed = {**manifest, "spec": {**manifest["spec"], "replicas": 7}}
    reordered = dict(reversed(manifest.items()))

    assert manifest["metadata"]["annotations"]["mooring.dev/applied"] == digest(manifest) == digest(reordered)
    assert digest(changed) != digest(manifest)


# --- the pod ---


def test_the_checkout_gets_nothing_of_the_workload() -> None:
    inputs = CASES["everything"].inputs
    spec = CASES["everything"].manifests()[1]["spec"]["template"]["spec"]
    (container,) = spec["initContainers"]

    assert inputs.token is not None
    assert container["env"] == [{"name": "HOME", "value": "/tmp"}]  # noqa: S108 - a volume of its own
    assert "envFrom" not in container
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        "mooring-workspace",
        "mooring-checkout-tmp",
        "mooring-checkout-credential",
        "mooring-checkout-authorities",
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_another_authority_rolls_nothing_where_a_secret_has_it() -> None:
    """Else a thousand Projects would roll at the moment when a certificate is renewed."""
    project = Case({"workload": WORKLOAD}, DeploymentInputs(revision=revision())).project()
    for secret, same in (("shop-default-token", True), (None, False)):
        sources = [checkout(credential_secret=secret, authorities=it) for it in ("-- a --", "-- b --", None)]
        drawn = [second(project, DeploymentInputs(revision=revision(), source=source)) for source in sources]

        assert (drawn[0] == drawn[1] == drawn[2]) is same


@pytest.mark.parametrize(
    ("version", "credential", "expected"),
    [(2, "shop-default-token", True), (1, "shop-default-token", False), (2, "clone", False), (2, None, False)],
)
def test_authorities_are_written_only_where_pods_look_for_them(
    version: int, credential: str | None, expected: bool
) -> None:
    source = checkout(credential_secret=credential, authorities="-- a --")
    inputs = DeploymentInputs(revision=revision(), token=MOUNT, source=source)
    project = Case({"workload": WORKLOAD}, inputs).project()
    secret = children(project, TOKEN, inputs, version, authorities="-- a --")[0]

    assert ("ca.crt" in secret["data"]) is expected


def test_the_workload_does_not_see_the_clone_credential() -> None:
    spec = CASES["everything"].manifests()[1]["spec"]["template"]["spec"]
    (container,) = spec["containers"]

    assert "mooring-clone" not in json.dumps(container)
    assert "mooring-checkout-credential" not in json.dumps(container)


@pytest.mark.parametrize("path", ["--upload-pack=x", "$(HOME)", "a $(GITHUB_TOKEN)", "$$(x)"])
def test_a_path_stays_one_argument_and_is_never_expanded(path: str) -> None:
    container = pod(DeploymentInputs(revision=revision(), source=checkout(path=path)))["initContainers"][0]

    assert f"--path={path.replace('$', '$$')}" in container["args"]
    assert path not in container["args"]


def test_the_token_is_the_last_variable_so_that_no_other_value_takes_it_up() -> None:
    variables = [{"name": "A", "value": "$(GITHUB_TOKEN)"}, {"name": "B"}]
    environment = pod(DeploymentInputs(revision=revision(), token=MOUNT), env=variables)["containers"][0]["env"]

    assert [variable["name"] for variable in environment] == ["A", "B", "GITHUB_TOKEN"]


def test_without_a_token_nothing_of_it_is_there() -> None:
    inputs = DeploymentInputs(revision=revision())
    manifest = json.dumps(deployment(Case({"workload": WORKLOAD}, inputs).project(), inputs))

    assert "GITHUB_TOKEN" not in manifest
    assert "token-checksum" not in manifest


def test_an_account_that_the_caller_did_not_allow_is_not_used() -> None:
    spec = pod(DeploymentInputs(revision=revision()), serviceAccountName="admin")

    assert spec["serviceAccountName"] == "default"
    assert "volumes" not in spec


@pytest.mark.parametrize(
    ("workload", "with_source", "expected"),
    [
        ({}, False, None),
        ({"runAsGroup": 7}, False, None),
        ({"fsGroup": 9}, False, 9),
        ({}, True, 65532),
        ({"runAsGroup": 7}, True, 7),
        ({"runAsGroup": 0}, True, 0),
        ({"runAsGroup": 7, "fsGroup": 0}, True, 0),
    ],
)
def test_a_workspace_has_a_group_that_both_containers_share(
    workload: dict[str, Any], with_source: bool, expected: int | None
) -> None:
    inputs = DeploymentInputs(revision=revision(), source=checkout() if with_source else None)

    assert pod(inputs, **workload)["securityContext"].get("fsGroup") == expected


@pytest.mark.parametrize(
    ("asked", "suspended", "expected"),
    [(None, False, None), (3, False, 3), (0, False, 0), (3, True, 0), (None, True, 0)],
)
def test_replicas_are_owned_only_when_named_or_suspended(
    asked: int | None, suspended: bool, expected: int | None
) -> None:
    inputs = DeploymentInputs(revision=revision(), suspended=suspended)
    workload = WORKLOAD if asked is None else {**WORKLOAD, "replicas": asked}
    spec = deployment(Case({"workload": workload}, inputs).project(), inputs)["spec"]

    assert ("replicas" in spec) == (expected is not None)
    assert spec.get("replicas") == expected


@pytest.mark.parametrize(
    ("workload", "with_source", "expected"),
    [
        ({}, False, None),
        ({}, True, "/workspace"),
        ({"mountPath": "/src"}, True, "/src"),
        ({"mountPath": "/src", "workingDir": "/else"}, True, "/else"),
        ({"workingDir": "/else"}, False, "/else"),
    ],
)
def test_the_workload_starts_in_its_source(workload: dict[str, Any], with_source: bool, expected: str | None) -> None:
    inputs = DeploymentInputs(revision=revision(), source=checkout() if with_source else None)

    assert pod(inputs, **workload)["containers"][0].get("workingDir") == expected


TCP, UDP = {"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}
OWN = {"exec": {"command": ["true"]}}


@pytest.mark.parametrize(
    ("workload", "port"),
    [
        ({}, None),
        ({"ports": [UDP]}, None),
        ({"ports": [UDP, TCP, {"containerPort": 9090}]}, 8080),
        ({"ports": [TCP, {"containerPort": 80, "name": "http"}]}, 80),
        ({"ports": [{"containerPort": 54, "name": "http", "protocol": "UDP"}, TCP]}, 8080),
        ({"ports": [TCP], "startupProbe": OWN, "livenessProbe": OWN}, 8080),
    ],
)
def test_who_listens_gets_requests_once_it_does(workload: dict[str, Any], port: int | None) -> None:
    project = Case({"workload": {**WORKLOAD, **workload}}, DeploymentInputs(revision=revision())).project()
    container = second(project, DeploymentInputs(revision=revision()))["spec"]["template"]["spec"]["containers"][0]

    probe = {"tcpSocket": {"port": port}, "periodSeconds": 2, "failureThreshold": 5}
    assert container.get("readinessProbe") == (None if port is None else probe)


def test_a_probe_of_ones_own_stands() -> None:
    spec = {"workload": {**WORKLOAD, "ports": [TCP], "readinessProbe": OWN}}
    project = Case(spec, DeploymentInputs(revision=revision())).project()
    container = second(project, DeploymentInputs(revision=revision()))["spec"]["template"]["spec"]["containers"][0]

    assert container["readinessProbe"] == OWN


@pytest.mark.parametrize(("grace", "sleeps"), [(None, 5), (60, 5), (10, 5), (6, 3), (1, 0), (0, 0)])
def test_who_listens_ends_after_it_was_forgotten_and_has_time_left(grace: int | None, sleeps: int) -> None:
    workload = {**WORKLOAD, "ports": [TCP], **({} if grace is None else {"terminationGracePeriodSeconds": grace})}
    project = Case({"workload": workload}, DeploymentInputs(revision=revision())).project()
    spec = second(project, DeploymentInputs(revision=revision()))["spec"]
    container = spec["template"]["spec"]["containers"][0]

    assert container.get("lifecycle") == ({"preStop": {"sleep": {"seconds": sleeps}}} if sleeps else None)
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


# --- service and ingress ---


def test_what_is_not_exposed_has_neither_service_nor_ingress() -> None:
    project = CASES["public-source"].project()

    assert service(project) is None
    assert ingress(project) is None


def test_no_ingress_without_a_host() -> None:
    project = exposed([{"containerPort": 80}])

    assert service(project) is not None
    assert ingress(project) is None


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([{"containerPort": 1}, {"containerPort": 2}], 1),
        ([{"containerPort": 1}, {"containerPort": 2, "name": "http"}], 2),
        ([{"containerPort": 1, "protocol": "UDP", "name": "http"}, {"containerPort": 2}], 2),
    ],
)
def test_an_ingress_leads_to_http_or_the_first_tcp_port(ports: list[dict[str, Any]], expected: int) -> None:
    manifest = ingress(exposed(ports, host="a.example.com"))

    assert manifest is not None
    (path,) = manifest["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["port"] == {"number": expected}


def test_a_host_without_a_tcp_port_is_a_mistake_of_the_spec() -> None:
    with pytest.raises(Stalled, match="port with protocol TCP") as trouble:
        ingress(exposed([{"containerPort": 53, "protocol": "UDP"}], host="a.example.com"))

    assert trouble.value.reason is Reason.INVALID_SPEC


def test_a_tenant_cannot_speak_in_moorings_own_annotations() -> None:
    manifest = ingress(exposed([{"containerPort": 80}], host="a.example.com", annotations={"mooring.dev/x": "y"}))

    assert manifest is not None
    assert "annotations" not in manifest["metadata"]


def test_a_running_checkout_is_asked_for_its_credential_for_a_url() -> None:
    url = "https://github.com/acme/$(shop).git"
    given = pod(DeploymentInputs(revision=revision(), source=checkout(url=url, credential_secret="shop-default-token")))
    bare = pod(DeploymentInputs(revision=revision(), source=checkout(url=url)))

    assert credential_of(given, url) == "shop-default-token"
    assert not credential_of(given, "https://github.com/acme/other.git")
    assert not credential_of(bare, url)
    assert not credential_of(pod(DeploymentInputs(revision=revision())), url)
    assert not credential_of({}, url)
