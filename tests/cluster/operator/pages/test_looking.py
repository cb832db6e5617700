"""The pages of somebody who looks for what is wrong: he sees what they say, and what they say to do mends it."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.cluster.conftest import ROOT
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.kubelet import CHECKOUT, bound
from tests.cluster.operator.apps import make_app, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages.conftest import Place
from tests.cluster.operator.pushes import GLOBAL, Shop
from tests.cluster.reading import Desk

TROUBLE, SOURCE, OPERATION = (f"docs/guide/{name}.md" for name in ("troubleshooting", "source", "operation"))
MISSED = "docs/guide/missed-pushes.md"
RUN_HERE = {
    "docs/guide/troubleshooting.md": ("Troubleshooting", "A push does not arrive"),
    "docs/guide/source.md": ("How the source gets into a pod", "By hand"),
    "docs/guide/operation.md": ("Several replicas", "Taking the Lease away", "The gateway's rights"),
    "docs/guide/missed-pushes.md": ("Missed pushes",),
}
IMAGE = {"image": "nginx", "replicas": 1}
COMMIT = "0123456789" * 4
# A Project for each of these symptoms, and what is changed in its spec to do what the page says.
SYMPTOMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "UserNotFound": ({"userRef": {"name": "nobody"}}, {"userRef": None}),
    "RepositoryNotFound": (
        {"source": {"github": {"repository": "acme/missing"}}},
        {"source": {"github": {"repository": "acme/open"}}},
    ),
    "RepositoryChanged": (
        {"source": {"github": {"repository": "acme/open", "repositoryId": 1}}},
        {"source": {"github": {"repositoryId": None}}},
    ),
    "BranchNotFound": (
        {"source": {"github": {"repository": "acme/open"}, "branch": "missing"}},
        {"source": {"branch": None}},
    ),
    "RepositoryEmpty": (
        {"source": {"github": {"repository": "acme/empty"}}},
        {"source": {"github": {"repository": "acme/open"}}},
    ),
    "RevisionNotFound": (
        {"source": {"github": {"repository": "acme/open"}, "revision": COMMIT}},
        {"source": {"revision": None}},
    ),
    "HostNotAllowed": (
        {"source": {"git": {"url": "https://git.example.com/x.git"}}, "token": {"source": "none"}},
        {"source": None},
    ),
    "NotAllowed": (
        {"workload": {**IMAGE, "ports": [{"containerPort": 80}]}, "expose": {"host": "shop.example.com"}},
        {"expose": None},
    ),
    "Suspended": ({"suspend": True}, {"suspend": None}),
}
# Of these a Secret is what is wrong.
SECRETS: dict[str, tuple[str, str] | None] = {
    "SecretNotFound": None,
    "SecretKeyMissing": ("other-key", "Opaque"),
    "NotAToken": ("github-token", "Opaque"),
    "SecretTypeWrong": ("github-token", "example.com/other"),
}


def says(reason: str) -> Any:
    """Tell whether a Project says this of its state."""
    return lambda project: condition(project or {}, "Ready").get("reason") == reason


def test_every_symptom_is_seen_and_mended(
    place: Place, desk: Desk, people: People, hub: Hub, fresh: TokenMaker
) -> None:
    good, revoked = fresh(), fresh()
    hub.control("POST", f"/tokens/{fresh.last}/revoke")
    people.secret(GLOBAL, good)
    people.apply("GitHubUser", "default", {})
    for reason, (spec, _) in SYMPTOMS.items():
        people.apply("Project", reason.lower(), {"workload": IMAGE, **spec})
    for reason, secret in {**SECRETS, "TokenInvalid": ("github-token", "Opaque")}.items():
        if secret is not None:
            value = {"NotAToken": "a word", "TokenInvalid": revoked}.get(reason, good)
            people.secret(reason.lower(), value, key=secret[0], kind=secret[1])
        token = {"secretRef": {"name": reason.lower()}}
        people.apply("Project", reason.lower(), {"workload": IMAGE, "token": token})
    every = [*SYMPTOMS, *SECRETS, "TokenInvalid"]
    text = (ROOT / TROUBLE).read_text(encoding="utf-8")
    assert [reason for reason in every if f"`{reason}`" not in text] == []
    people.until_every("Project", {reason.lower(): says(reason) for reason in every})

    put_app(people, make_app(hub), "app", webhookSecret="what-was-entered")
    with place.reader(desk, RUN_HERE, TROUBLE, {"NAMESPACE": people.namespace}) as reader:
        lines = reader.types("kubectl get projects").splitlines()
        shown = [line.split() for line in lines if line.startswith(f"{people.namespace} ")]
        status = {words[1].partition("/")[2]: words for words in shown if words[1].startswith("project.")}
        assert [reason for reason in every if reason not in status[reason.lower()]] == []
        described = reader.types("kubectl describe", NAME="branchnotfound")
        assert re.search(r"Reason: +BranchNotFound", described)
        assert "missing" in described

        a_pod_that_hangs(place, people)
        assert "refused" in reader.types("logs POD", POD="hangs")
        entered = reader.types("jsonpath='{.data.webhookSecret}'", NAME="app")
        assert base64.b64decode(entered).decode() == "what-was-entered"

    for reason, (_, mended) in SYMPTOMS.items():
        people.patch("Project", reason.lower(), {"spec": mended})
    for reason in (*SECRETS, "TokenInvalid"):
        people.delete("Secret", reason.lower())
        people.secret(reason.lower(), good)
    people.until_every("Project", {reason.lower(): says("Ready") for reason in every})


def a_pod_that_hangs(place: Place, people: People) -> None:
    """Have a pod whose checkout ended with a word about why."""
    place.kubelet.say(CHECKOUT, "refused: a symbolic link leads out of the repository")
    template = (people.get("Deployment", "branchnotfound-default") or people.list("Deployment")[0])["spec"]["template"]
    init = [{"name": CHECKOUT, "image": "mooring", "terminationMessagePolicy": "FallbackToLogsOnError"}]
    people.create("Pod", bound("hangs", {"spec": {**template["spec"], "initContainers": init}}))


def test_the_source(place: Place, desk: Desk, people: People, hub: Hub, fresh: TokenMaker) -> None:
    shop = Shop.open(people, hub, fresh())
    clone = f"GIT_SSL_CAINFO={hub.ca_file} git clone -q {hub.web_url}/acme/open.git ."
    assert desk.run(f"mkdir clone && cd clone && {clone}").returncode == 0
    there = desk.folder / "out"
    by_hand = {
        # A server with an authority of its own needs the option that the page names.
        "https://github.com/acme/shop.git": f"{hub.web_url}/acme/open.git --ca-file={hub.ca_file}",
        "/tmp/shop": str(there),  # noqa: S108 - the page's word
        "git rev-parse": "git -C clone rev-parse",
    }
    deployment = people.get("Deployment", "shop-default")
    assert deployment is not None
    (init,) = deployment["spec"]["template"]["spec"]["initContainers"]
    # So the last line stands at the container's state.
    assert (init["name"], init["terminationMessagePolicy"]) == (CHECKOUT, "FallbackToLogsOnError")
    people.create("Pod", bound("fetched", deployment["spec"]["template"]))
    words = {"team-a": people.namespace, "POD": "fetched", **by_hand}
    place.kubelet.say(CHECKOUT, f"checked out {shop.last}")
    with place.reader(desk, RUN_HERE, SOURCE, words) as reader:
        assert shop.last in reader.types("logs")
        assert re.search(r"Init Containers:\n  checkout:", reader.types("describe pod"))
        reader.types("mkdir")
        reader.types("mooring checkout")
    assert (there / "index.html").read_text() == "hello"


def test_the_lease_and_the_gateways_rights(place: Place, desk: Desk, people: People) -> None:
    people.apply("Project", "shop", {"workload": IMAGE})
    people.settled("shop")
    with place.reader(desk, RUN_HERE, OPERATION, {"NAME": "shop", "NAMESPACE": people.namespace}) as reader:
        lease = place.system.get("Lease", "mooring-operator")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] in reader.types("get lease")
        reader.types("delete lease")

        def is_new(found: Object | None) -> bool:
            return found is not None and found["metadata"]["uid"] != lease["metadata"]["uid"]

        place.system.until("Lease", "mooring-operator", is_new, "one that is made anew")
        assert "validatingadmissionpolicy" in reader.types("gateway.yaml")
        assert "ValidatingAdmissionPolicy 'mooring-gateway'" in reader.is_refused("--dry-run=server")
    with place.reader(desk, RUN_HERE, MISSED, {}) as reader:
        assert re.search(r"^PROJECT +TRIGGER\n(.*\n)*shop +Create$", reader.types("TRIGGER"), re.MULTILINE)
