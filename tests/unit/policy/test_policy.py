"""The administrator's policy: every problem at once, nothing hostile read, and every question answered strictly."""

import re
import time
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mooring.domain.origins import AllowedHosts
from mooring.domain.policy import KEY, MAXIMUM_BYTES, IngressPolicy, Policy, PolicyError, from_config_map, parse_policy

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "policy.md"
FULL = """
bindings:
  - apiUrl: https://API.github.com/
    appId: 7
    accountId: 42
    namespaces: [team-a, team-b]
    repositories: [octo/shop, octo-labs/*]
    permissions: {contents: write, metadata: read}
  - {apiUrl: "https://ghes.example.com:8443/api/v3", appId: 7, accountId: 42, namespaces: [team-a]}
allowedHosts: [ghes.example.com, "Git.Example.com:8443"]
ingress:
  hostSuffixes: [apps.example.com, .teams.example.com]
  classNames: [nginx]
  annotationKeys: [cert-manager.io/cluster-issuer, nginx.ingress.kubernetes.io/*, plain]
rawPodTemplates: true
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    return caught.value.problems


# --- where it comes from ---


@pytest.mark.parametrize("data", [None, {KEY: ""}, {KEY: "# nothing\n"}, {KEY: "{}"}, {KEY: "null"}])
def test_no_policy_allows_nothing(data: dict[str, str] | None) -> None:
    policy = from_config_map(data)

    assert policy == Policy()
    assert policy.allowed_hosts == ()
    assert not policy.ingress.host_allowed("example.com")
    assert not policy.ingress.class_allowed("nginx")
    assert policy.ingress.forbidden_annotations(["a"]) == ("a",)
    assert policy.binding("https://api.github.com", 7, 42, "team-a") is None
    assert policy.raw_pod_templates is False


def test_a_config_map_without_the_key_is_a_mistake() -> None:
    with pytest.raises(PolicyError, match=r"has no key policy\.yaml"):
        from_config_map({"policy.yml": FULL})


def test_a_policy_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse_policy(FULL).raw_pod_templates = False  # type: ignore[misc]  # that it is refused is what is tested


# --- what is refused ---


def test_every_problem_is_told_at_once() -> None:
    text = """
binding: []
bindings: [{appId: "7", namespaces: ["*"], repositories: [shop], permissions: {contents: all}}]
allowedHosts: ["*.example.com", "https://example.com", "example.com:0"]
ingress: {hostSuffixes: ["*.example.com"], classNames: [Nginx], annotationKeys: ["*", "mooring.dev/*"], more: 1}
rawPodTemplates: 1
"""
    found = problems(text)

    assert [problem.split(": ")[0] for problem in found] == [
        "bindings[0].apiUrl",
        "bindings[0].appId",
        "bindings[0].accountId",
        "bindings[0].namespaces[0]",
        "bindings[0].repositories[0]",
        "bindings[0].permissions",
        "allowedHosts[0]",
        "allowedHosts[1]",
        "allowedHosts[2]",
        "ingress.hostSuffixes[0]",
        "ingress.classNames[0]",
        "ingress.annotationKeys[0]",
        "ingress.annotationKeys[1]",
        "ingress.more",
        "rawPodTemplates",
        "binding",
    ]
    assert not any("pydantic" in problem or "Value error" in problem for problem in found)


def test_the_message_is_bounded() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy("allowedHosts: [" + "'*', " * 900 + "]")

    assert len(str(caught.value).splitlines()) == 22
    assert str(caught.value).splitlines()[0] == "900 problems in the policy; nothing of it is used"
    assert str(caught.value).endswith("and 880 more")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [", "line 2, column 1: while parsing"),
        ("[]", "write a map"),
        ("bindings: [{namespaces: []}]", "bindings[0].namespaces: "),
        ("just text", "write a map"),
        ("rawPodTemplates: true\nrawPodTemplates: false\n", "line 2, column 1: a key stands there twice"),
        ("ingress: {classNames: [a], classNames: [b]}", "a key stands there twice"),
        ("? [a]\n: b\n", "a key is no plain text"),
        ("x: &a [1]\ny: *a\n", "line 1, column 4: anchors and aliases are not taken"),
        ("a: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("allowedHosts: [2001-99-99]", "put it in quotes"),
        ("a: \x07", "it is not YAML"),
        ("--- {}\n--- {}\n", "expected a single document"),
        ("[" * 9 + "]" * 9, "nested too deeply"),
        ("{1: 2}", "[1]: is a key that is no text"),
    ],
)
def test_texts_that_are_refused(text: str, where: str) -> None:
    assert where in "\n".join(problems(text))


def test_hostile_texts_are_refused_quickly() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{n}: &{n} [*a,*a,*a,*a]\n" for n in "bcdefgh")
    started = time.process_time()

    for text in (bomb, "[" * 100_000, "{a: " * 60_000, "x" * (MAXIMUM_BYTES + 1), "é" * (MAXIMUM_BYTES // 2 + 1)):
        assert len(problems(text)) == 1

    assert time.process_time() - started < 1


def test_one_account_is_lent_to_a_namespace_once() -> None:
    entry = "{apiUrl: 'https://api.github.com', appId: 7, accountId: 42, namespaces: [team-a]}"

    assert problems(f"bindings: [{entry}, {entry}]") == (
        "bindings: no. 1 lends an account to team-a once more; merge the two",
    )


# --- what is answered ---


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("ghes.example.com", 443, True),
        ("GHES.example.com", 443, True),
        ("ghes.example.com", 8443, False),
        ("git.example.com", 8443, True),
        ("git.example.com", 443, False),
        ("x.ghes.example.com", 443, False),
        ("example.com", 443, False),
        ("", 443, False),
    ],
)
def test_hosts(host: str, port: int, allowed: bool) -> None:
    assert AllowedHosts.of(parse_policy(FULL).allowed_hosts).allows(f"https://{host}:{port}/") is allowed


def test_the_hosts_are_in_the_form_that_the_adapter_takes() -> None:
    hosts = AllowedHosts.of(parse_policy(FULL).allowed_hosts)

    assert hosts.allows("https://git.example.com:8443/api/v3")
    assert not hosts.allows("https://git.example.com/api/v3")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("apps.example.com", True),
        ("shop.apps.example.com", True),
        ("a.b.apps.example.com", True),
        ("evilapps.example.com", False),
        ("example.com", False),
        ("shop.teams.example.com", True),
        ("teams.example.com", False),
        ("*.apps.example.com", False),
        ("shop.apps.example.com.", False),
        ("shop.apps.example.com\n", False),
        ("Shop.apps.example.com", False),
        (".apps.example.com", False),
        ("shop.apps.example.com.evil.example", False),
        ("", False),
    ],
)
def test_hosts_to_publish(host: str, allowed: bool) -> None:
    assert parse_policy(FULL).ingress.host_allowed(host) is allowed


def test_classes() -> None:
    ingress = parse_policy(FULL).ingress

    assert ingress.class_allowed("nginx")
    assert not ingress.class_allowed("traefik")
    assert ingress.class_allowed(None)


def test_annotations() -> None:
    keys = [
        "cert-manager.io/cluster-issuer",
        "cert-manager.io/issuer",
        "nginx.ingress.kubernetes.io/rewrite-target",
        "nginx.ingress.kubernetes.io/*",
        "nginx.ingress.kubernetes.io.evil/x",
        "xnginx.ingress.kubernetes.io/x",
        "nginx.ingress.kubernetes.io/a/b",
        "plain",
        "other",
        "mooring.dev/applied",
    ]

    assert parse_policy(FULL).ingress.forbidden_annotations(keys) == (
        "cert-manager.io/issuer",
        "mooring.dev/applied",
        "nginx.ingress.kubernetes.io.evil/x",
        "nginx.ingress.kubernetes.io/*",
        "nginx.ingress.kubernetes.io/a/b",
        "other",
        "xnginx.ingress.kubernetes.io/x",
    )


@pytest.mark.parametrize(
    ("api_url", "app", "account", "namespace", "found"),
    [
        ("https://api.github.com", 7, 42, "team-a", True),
        ("https://api.github.com/", 7, 42, "team-b", True),
        ("https://api.github.com:443", 7, 42, "team-b", True),
        ("https://api.github.com", 8, 42, "team-a", False),
        ("https://api.github.com", 7, 43, "team-a", False),
        ("https://api.github.com", 7, 42, "team-c", False),
        ("https://api.github.com", 7, 42, "team", False),
        ("https://ghes.example.com:8443/api/v3", 7, 42, "team-a", True),
        ("https://ghes.example.com:8443/api/v3", 7, 42, "team-b", False),
        ("https://ghes.example.com/api/v3", 7, 42, "team-a", False),
    ],
)
def test_bindings(api_url: str, app: int, account: int, namespace: str, found: bool) -> None:
    policy = parse_policy(FULL)

    assert (policy.binding(api_url, app, account, namespace) is not None) is found
    if found:
        assert len(policy.bindings_of(api_url, app, namespace)) == 1


def test_a_binding_may_be_narrowed() -> None:
    narrowed, whole = parse_policy(FULL).bindings

    assert [
        narrowed.covers(name) for name in ("octo/shop", "OCTO/Shop", "octo-labs/any", "octo/shop2", "octo-labs")
    ] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert whole.covers("any/thing")
    assert narrowed.permissions == {"contents": "write", "metadata": "read"}
    assert whole.permissions is None


# --- the reference ---


def test_the_example_of_the_reference_is_a_policy() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    example = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])

    policy = from_config_map(example["data"])

    assert policy.binding("https://api.github.com", 123456, 9919, "team-b") is not None
    assert AllowedHosts.of(policy.allowed_hosts).allows("https://git.example.com:8443")


def test_the_reference_has_every_key() -> None:
    named = set(re.findall(r"^\| `([A-Za-z.]+)(?:\[\])?` \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE))
    ingress = {f"ingress.{field.alias}" for field in IngressPolicy.model_fields.values()}

    assert named == {str(field.alias) for field in Policy.model_fields.values()} - {"ingress"} | ingress
