"""The pages that change a release: values, GitHub Enterprise (the lab's GitHub is such a server here), and keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab import Lab
from mooring.domain.webhooks.keys import Keys
from tests.cluster.conftest import ROOT, Kube
from tests.cluster.harness import Hub, People
from tests.cluster.operator.apps import install, make_account, make_app, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.test_lifecycle_sources import checkout
from tests.cluster.operator.webhooks import BASE, KIND, NAME, add, document, made, until_told, url_of
from tests.cluster.process import SYSTEM, Mooring, operating, policy
from tests.cluster.reading import Desk, Reader
from tests.cluster.released import Release, released
from tests.cluster.trusting import VARIABLE
from tests.pages import blocks

ENTERPRISE, PROXY = "docs/guide/enterprise.md", "docs/guide/reverse-proxy.md"
ROTATION, WEBHOOKS = "docs/runbooks/rotation.md", "docs/guide/webhooks.md"
RUN_HERE = {
    "docs/guide/enterprise.md": (
        "The operator's own GitHub",
        "Its certificates",
        "One more GitHub",
        "Large files",
        "What differs",
    ),
    "docs/guide/reverse-proxy.md": ("An Ingress or a route", "Who may send"),
    "docs/runbooks/rotation.md": (
        "The master key",
        "Keys made by chance",
        "The credentials of gateway and operator",
        "The Secret mooring-webhook is lost",
    ),
    "docs/guide/webhooks.md": ("Master keys",),
}
MASTER = "mooring-master-keys"
MINUTES = 120.0
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/{}/ingresses"


@pytest.fixture(scope="module")
def desk(kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a folder to work in."""
    return Desk(kube, hub, tmp_path_factory.mktemp("release") / "desk")


@pytest.fixture(scope="module")
def release(kube: Kube, desk: Desk) -> Iterator[Release]:
    """Install the chart, once for all pages."""
    with released(kube, desk) as found:
        yield found


@contextmanager
def enterprise(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[Mooring]:
    """Run an operator whose own GitHub is github.com, with the policy that the page shows.

    The lab's certificate is one that everybody trusts: so the page wants it of a server for tokens of persons.
    """
    host = hub.web_url.removeprefix("https://")
    (shown,) = (block.text for block in blocks(ENTERPRISE) if block.text.startswith("policy:"))
    allowed = yaml.safe_load(shown.replace("[ghes.example.com,", f'["{host}",'))["policy"]["content"]
    own = {"MOORING_GITHUB_API_URL": "https://api.github.com", "MOORING_GITHUB_CA_FILE": "", VARIABLE: hub.ca_file}
    own["PYTHONPATH"] = f"{ROOT / 'operator'}:{ROOT}"
    with (
        policy(kube, allowed),
        operating(lab, kube, folder, module="tests.cluster.trusting", **own) as running,
    ):
        yield running


def test_an_address_and_proxies(desk: Desk, release: Release, hub: Hub) -> None:
    with Reader(desk, RUN_HERE, PROXY, {"https://api.github.com": hub.api_url}) as reader:
        reader.types("ingress.enabled=true")
        (rule,) = release.get(INGRESSES, "mooring-gateway")["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        found = (rule["host"], path["path"], path["backend"]["service"]["name"])
        assert found == ("mooring.example.com", "/webhooks/github", "mooring-gateway")
        assert release.environment("mooring-operator")["MOORING_PUBLIC_BASE_URL"] == "https://mooring.example.com"
        assert json.loads(reader.types("curl"))
        reader.types("gateway.trustedProxies")
        assert release.environment("mooring-gateway")["MOORING_TRUSTED_PROXIES"] == "10.0.7.0/24"
        # What was set before is kept.
        assert release.environment("mooring-operator")["MOORING_PUBLIC_BASE_URL"] == "https://mooring.example.com"


def test_github_enterprise(
    lab: Lab, kube: Kube, namespace: str, hub: Hub, desk: Desk, release: Release, tmp_path: Path
) -> None:
    people, fresh = People(kube, namespace), TokenMaker(hub)
    (desk.folder / "ca.crt").write_text(Path(hub.ca_file).read_text())
    acme = make_account(hub, "billing", "reports")
    app = make_app(hub)
    install(hub, app, acme.login)
    put_app(people, app, "internal-github-app")
    people.secret("user-internal-global-secrets", fresh())
    host = hub.web_url.removeprefix("https://")
    words = {"team-a": namespace, "acme": acme.login, "ghes.example.com": host}
    with enterprise(lab, kube, hub, tmp_path), Reader(desk, RUN_HERE, ENTERPRISE, words) as reader:
        reader.types("github.apiUrl")
        assert release.environment("mooring-operator")["MOORING_GITHUB_API_URL"] == hub.api_url
        its_certificates(release, reader, people, hub)

        reader.types("kind: GitHubInstallation")
        people.until_ready("billing")
        assert f"--url={hub.web_url}/{acme.login}/billing.git" in checkout(people, "billing")
        people.until_ready("internal", kind="GitHubInstallation")

        since = hub.mark()
        reader.types("kind: GitHubUser")
        people.until_ready("reports")
        assert f"--url={hub.web_url}/{acme.login}/reports.git" in checkout(people, "reports")
        assert any(entry["credential"] == fresh.last for entry in hub.journal(since))

        reader.types("github.largeFileHosts")
        assert release.environment("mooring-operator")["MOORING_LARGE_FILE_HOSTS"] == "s3.example.com"
        assert reader.types("gh api --hostname") == f"{acme.id}\n"
    People(kube, SYSTEM).delete("ConfigMap", "github-ca")


def its_certificates(release: Release, reader: Reader, people: People, hub: Hub) -> None:
    """Have the operator's own GitHub trusted, and another one by a team."""
    reader.types("create configmap github-ca")
    reader.types("github.caConfigMap")
    variable = release.environment("mooring-operator")["MOORING_GITHUB_CA_FILE"]
    mounts = {mount["mountPath"] for mount in release.container("mooring-operator")["volumeMounts"]}
    assert any(variable.startswith(f"{place}/") for place in mounts)
    reader.types("create configmap ghes-ca")
    assert (people.get("ConfigMap", "ghes-ca") or {})["data"] == {"ca.crt": Path(hub.ca_file).read_text()}


# --- keys ---


@dataclass
class Keeper:
    """Who keeps the keys: an operator that is started and ended, and the folder that a kubelet would mount into it."""

    lab: Lab
    kube: Kube
    home: Path

    @property
    def system(self) -> People:
        """Return the administrator."""
        return People(self.kube, SYSTEM)

    @property
    def folder(self) -> Path:
        """Return where the master keys are mounted."""
        return self.home / "keys"

    def mount(self) -> None:
        """Bring the Secret into the folder, as kubelet does."""
        self.folder.mkdir(exist_ok=True)
        held = (self.system.get("Secret", MASTER) or {}).get("data") or {}
        for version, key in held.items():
            beside = self.home / version
            beside.write_bytes(base64.b64decode(key))
            beside.replace(self.folder / version)
        for path in self.folder.iterdir():
            if path.name not in held:
                path.unlink()
        if self.system.get("Secret", NAME) is not None:
            add(self.system)  # the operator puts it right, and looks at the folder with it: it need not be waited for

    @contextmanager
    def operator(self, *, master: bool) -> Iterator[Mooring]:
        """Run the operator, with the folder of master keys or without."""
        more = {"MOORING_MASTER_KEY_DIR": str(self.folder)} if master else {}
        with operating(self.lab, self.kube, self.home, MOORING_PUBLIC_BASE_URL=BASE, **more) as running:
            yield running

    def keys(self, *versions: int) -> Keys:
        """Wait until webhooks of repositories are judged by these versions, and no others."""
        return until_told(self.system, lambda it: set(it.keys.hook_keys) == set(versions), f"keys {versions}").keys


@pytest.fixture
def keeper(lab: Lab, kube: Kube, tmp_path: Path) -> Iterator[Keeper]:
    """Begin without any key."""
    keeper = Keeper(lab, kube, tmp_path)
    for name in (NAME, MASTER):
        keeper.system.delete("Secret", name)
    yield keeper
    for name in (NAME, MASTER):
        keeper.system.delete("Secret", name)


def test_keys(keeper: Keeper, hub: Hub, desk: Desk, release: Release, namespace: str) -> None:
    people, app = People(keeper.kube, namespace), make_app(hub)
    install(hub, app)
    put_app(people, app, webhookSecret="a-webhook-secret-that-stays")
    people.apply(KIND, "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    people.apply("Project", "shop", {"workload": {"image": "nginx", "replicas": 1}})
    with Reader(desk, RUN_HERE, ROTATION, {}) as reader:
        with Reader(desk, RUN_HERE, WEBHOOKS, {}) as first:
            master_keys_change(keeper, reader, first, people)
        keys_by_chance_are_replaced(keeper, reader, release)
        credentials_are_replaced(keeper, reader)
        the_secret_is_put_back(keeper, reader, people)


def decoded(people: People, name: str) -> dict[str, bytes]:
    """Return what a Secret holds, which is no text."""
    secret = people.get("Secret", name)
    assert secret is not None
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


def address(people: People) -> str:
    """Return where an App's webhooks go."""
    found = people.until(KIND, "it", lambda it: url_of(it) is not None, "an address")
    return str(url_of(found))


def master_keys_change(keeper: Keeper, reader: Reader, first: Reader, people: People) -> None:
    """Begin with one, add the next, take the former away: addresses stay, and nothing rolls."""
    first.types("urandom > 1")
    first.types("create secret generic")
    keeper.mount()
    with keeper.operator(master=True) as operator:
        one = keeper.keys(1)
        before = address(people)
        people.settled("shop")

        reader.types("--from-file=2=/dev/stdin")
        keeper.mount()
        operator.until_logged("the master keys have changed: there are 2", MINUTES)
        two = keeper.keys(1, 2)
        assert "VERSION" in reader.types("VERSION:.status.webhook.secretVersion")
        reader.types('"1":null')
        keeper.mount()
        three = keeper.keys(2)
        assert (one.id_key, two.hook_keys[1]) == (two.id_key, one.hook_keys[1])
        assert (three.id_key, three.hook_keys) == (one.id_key, {2: two.hook_keys[2]})

        assert (address(people), people.rollouts("shop")) == (before, 1)
    # By the other page: both are there again.
    kept = decoded(keeper.system, MASTER)
    first.types("urandom > 2")
    first.types("--from-file=1 --from-file=2")
    assert decoded(keeper.system, MASTER).keys() == {"1", "2"}
    assert decoded(keeper.system, MASTER)["2"] != kept["2"]


def keys_by_chance_are_replaced(keeper: Keeper, reader: Reader, release: Release) -> None:
    """Begin with a master key later: the ids stay, all else is derived anew."""
    for name in (NAME, MASTER):
        keeper.system.delete("Secret", name)
    with keeper.operator(master=False):
        chance = keeper.keys(1)
    reader.types("--from-file=2=/dev/stdin")
    reader.types("masterKeys.secret")
    folder = release.environment("mooring-operator")["MOORING_MASTER_KEY_DIR"]
    assert folder in {mount["mountPath"] for mount in release.container("mooring-operator")["volumeMounts"]}
    assert "MOORING_MASTER_KEY_DIR" not in release.environment("mooring-gateway")
    keeper.mount()
    with keeper.operator(master=True):
        derived = until_told(keeper.system, lambda it: 2 in it.keys.hook_keys, "a derived key").keys
        assert derived.id_key == chance.id_key
        assert derived.proof_keys[0] != chance.proof_keys[0]


def credentials_are_replaced(keeper: Keeper, reader: Reader) -> None:
    """Restart both, and make the gateway's account anew."""
    account = keeper.system.get("ServiceAccount", "mooring-gateway")
    assert "restarted" in reader.types("rollout restart deployment/mooring-gateway")
    assert "restarted" in reader.types("rollout restart deployment/mooring-operator")
    reader.types("delete serviceaccount")
    assert keeper.system.get("ServiceAccount", "mooring-gateway") is None
    reader.types("--reset-then-reuse-values")
    anew = keeper.system.get("ServiceAccount", "mooring-gateway")
    assert (anew or {})["metadata"]["uid"] != (account or {})["metadata"]["uid"]
    assert "successfully rolled out" in reader.types("rollout status")


def the_secret_is_put_back(keeper: Keeper, reader: Reader, people: People) -> None:
    """Lose it while no operator runs: with a backup all is the same, with nothing the addresses are others."""
    reader.types("> webhooks.json")
    before, address_before = keeper.system.get("Secret", NAME), address(people)
    reader.types("--replicas=0")
    keeper.system.delete("Secret", NAME)
    reader.types("create secret generic mooring-webhook")
    reader.types("label secret")
    assert (keeper.system.get("Secret", NAME) or {})["data"] == (before or {})["data"]
    reader.types("--replicas=2")
    with keeper.operator(master=False) as operator:
        # It takes the Secret for its own, and changes nothing in it.
        assert "was not made by Mooring" not in operator.log
        assert document(keeper.system.get("Secret", NAME)) == document(before)
        made_before = made(operator)

    keeper.system.delete("Secret", NAME)
    with keeper.operator(master=False) as operator:
        people.until(KIND, "it", lambda it: url_of(it) not in {None, address_before}, "another address")
        assert made(operator) == made_before + 1
    assert re.search(rf"^{people.namespace} +it +{address(people)}$", reader.types("ADDRESS:"), re.MULTILINE)
    assert people.rollouts("shop") == 1
