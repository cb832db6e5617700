"""The whole story with real pods: from an empty cluster to a page that changes with a push."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.cluster.harness import Object
from tests.lab.kubernetes.support import until
from tests.node.install import PATIENCE, Mooring, uids
from tests.node.shop import IMAGE, INSTALLATION, PORT, SERVE, SERVER, WORKLOAD, Shop

GLANCE = 0.01
BRIEF_SECONDS = 8
WORD_FILE = "word"
FIND = """
import os
files = [os.path.join(folder, name) for folder, _, names in os.walk("/workspace") for name in names]
print([file for file in files if {} in open(file, "rb").read()])
"""


class Onlooker:
    """Whoever may read command lines and environments of the machine, all the time."""

    def __init__(self, secrets: set[str]) -> None:
        self.checkouts: set[int] = set()
        self.leaks: set[str] = set()
        self._secrets = [secret.encode() for secret in secrets]

    def look(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            for kind in ("cmdline", "environ"):
                try:
                    text = (process / kind).read_bytes()
                except OSError:
                    continue  # it ended while we looked
                if kind == "cmdline" and b"mooring\0checkout\0" in text:
                    self.checkouts.add(int(process.name))
                if any(secret in text for secret in self._secrets):
                    self.leaks.add(f"{kind} of {(process / 'comm').read_text().strip()}")


@contextmanager
def onlooker(secrets: set[str]) -> Iterator[Onlooker]:
    found, over = Onlooker(secrets), threading.Event()

    def watch() -> None:
        while not over.wait(GLANCE):
            found.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_from_nothing_to_a_page_that_a_push_changes(mooring: Mooring, tmp_path: Path) -> None:
    """A private repository, a real push, GitHub's delivery to the gateway's pod, new pods, and no trace of a token."""
    shop = Shop(mooring, "story", tmp_path)
    shop.connect()
    shop.deploy()
    until(lambda: shop.answers() == "one", "the Service leads to the pod", PATIENCE)
    before, tokens = shop.alone(), shop.tokens()
    assert len(tokens) == 1

    with onlooker(tokens) as watched:
        sha = shop.delivered({"index.html": "two"})
        project = shop.arrived(sha)
        until(lambda: shop.page() == "two", "the Service leads to the new pod", PATIENCE)
    after = shop.alone()
    assert uids([after]).isdisjoint(uids([before]))

    revision = project["status"]["revision"]
    [delivery] = [entry for entry in shop.deliveries() if entry["guid"] == revision["delivery"]]
    assert (revision["trigger"], delivery["status_code"]) == ("Push", 202)
    assert delivery["url"].startswith(mooring.gateway)

    # The credential is nowhere but in the Secret.
    assert watched.checkouts, "the checkout ran under the eyes of the onlooker"
    assert not watched.leaks
    [token] = shop.tokens()
    told = [shop.logs(after), mooring.logs("operator"), mooring.logs("gateway")]
    told += [
        shop.node.kubectl("get", kind, "--namespace=story", "--output=yaml") for kind in ("pods", "events", "projects")
    ]
    told.append(shop.run(after, "cat", ".git/config"))
    assert "https://" in told[-1]
    assert not [text for text in told for secret in (token, *tokens) if secret in text]
    assert shop.run(after, "python3", "-c", FIND.format(token.encode())).strip() == "[]"


def test_a_pod_that_is_made_anew_hours_later_still_fetches(shop: Shop) -> None:
    """Its token was replaced meanwhile, and the one that the first pod had is worth nothing any more."""
    hub, others = shop.hub, shop.tokens()
    hub.control("POST", "/token-lifetime", {"seconds": BRIEF_SECONDS})
    try:
        shop.people.apply("GitHubInstallation", "brief", INSTALLATION)
        shop.deploy("brief", "brief")
        old = shop.tokens() - others
    finally:
        hub.control("POST", "/token-lifetime", {"seconds": 3600})
    until(
        lambda: all(_refused(shop, token) for token in old), "the tokens of the first hour are worth nothing", PATIENCE
    )
    until(lambda: not shop.tokens() & old, "there are others", PATIENCE)
    [pod] = shop.pods("brief")
    mark = hub.mark()
    shop.people.delete("Pod", pod["metadata"]["name"])
    until(lambda: uids(shop.pods("brief")).isdisjoint(uids([pod])), "the pod is gone", PATIENCE)
    until(lambda: all(_is_ready(one) for one in shop.pods("brief")), "another one is ready", PATIENCE)
    until(lambda: shop.answers("brief") == shop.page(), "the Service leads to the pod", PATIENCE)
    [another] = shop.pods("brief")
    assert shop.fetches(another, mark)
    # What is pushed later is to roll one Project.
    for kind in ("Project", "GitHubInstallation"):
        shop.people.delete(kind, "brief")
        shop.people.until(kind, "brief", lambda obj: obj is None, "its end")
    until(lambda: not shop.pods("brief"), "its pods are gone", PATIENCE)


def test_a_container_that_starts_again_fetches_nothing(shop: Shop) -> None:
    pod, mark = shop.alone(), shop.hub.mark()
    shop.run(pod, "python3", "-c", "import os, signal; open('/workspace/kept', 'w'); os.kill(1, signal.SIGTERM)")

    def restarted() -> bool:
        [status] = shop.alone()["status"]["containerStatuses"]
        return bool(status["restartCount"] == 1 and status["ready"])

    until(restarted, "the container runs again", PATIENCE)
    assert uids([shop.alone()]) == uids([pod])
    assert shop.run(pod, "ls").split() == ["index.html", "kept", "server.py"]
    assert shop.fetches(pod, 0)
    assert not shop.fetches(pod, mark)


def test_a_public_url_and_an_image_alone_work_the_same_way(shop: Shop) -> None:
    """Neither has an installation or a token; the tests' image serves a folder of its own."""
    address = f"{shop.mooring.env['LAB_GITHUB_GIT_URL']}/acme/site.git"
    files = {"index.html": "for everybody", "server.py": SERVER}
    shop.hub.seed(repositories=[{"owner": "acme", "name": "site", "files": files}])
    alone = {"image": IMAGE, "ports": [{"containerPort": PORT}], "command": SERVE, "replicas": 1}
    public = {"source": {"git": {"url": address}, "branch": "main"}, "workload": WORKLOAD, "expose": {}}
    shop.people.apply("Project", "site", public)
    shop.people.apply("Project", "alone", {"workload": alone, "expose": {}})
    shop.ready("site")
    shop.ready("alone")
    until(lambda: shop.answers("site") == "for everybody", "the Service leads to the pod", PATIENCE)
    until(lambda: WORD_FILE in shop.answers("alone"), "the other leads to the other", PATIENCE)


def _refused(shop: Shop, token: str) -> bool:
    trust = ssl.create_default_context(cafile=shop.hub.ca_file)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{shop.hub.api_url}/installation/repositories"
    return httpx.get(url, headers=headers, verify=trust, trust_env=False).status_code == 401


def _is_ready(pod: Object) -> bool:
    found = {one["type"]: one["status"] for one in pod["status"].get("conditions") or ()}
    return found.get("Ready") == "True"
