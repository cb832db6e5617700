"""The same load on others, where their binaries are given: none of them comes with this repository.

`FLUX_NC_BIN` names Flux's notification-controller and `FLUX_CRDS` a folder with its CustomResourceDefinitions and those
of source-controller; `ESO_BIN` and `ESO_CRDS` are those of External Secrets. Each runs with its own defaults, as the
administrator, in a lab of its own.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from bench import gateways, hammer
from bench.figures import Book
from bench.site import Site, site
from bench.size import Say, Size
from tests.cluster.operator.apps import LabApp, install, make_app

T = TypeVar("T")
Object = dict[str, Any]
IN_FLIGHT, PATIENCE, LOOKS = 64, 300.0, 0.1
SPACE, TOKEN = "peers", "the-token-of-all-receivers"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RECEIVERS = f"/apis/notification.toolkit.fluxcd.io/v1/namespaces/{SPACE}/receivers"
SOURCES = f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{SPACE}/gitrepositories"
SECRETS = f"/api/v1/namespaces/{SPACE}/secrets"
GENERATORS = f"/apis/generators.external-secrets.io/v1alpha1/namespaces/{SPACE}/githubaccesstokens"
EXTERNAL = f"/apis/external-secrets.io/v1/namespaces/{SPACE}/externalsecrets"
# Flux's own figures are over so many receivers.
SPREAD = 50


def measure(book: Book, size: Size, say: Say) -> None:
    """Measure those that are given, and say how to give the others."""
    given = {"FLUX": ("FLUX_NC_BIN", "FLUX_CRDS", flux), "ESO": ("ESO_BIN", "ESO_CRDS", external_secrets)}
    for name, (binary, folder, of) in given.items():
        if binary in os.environ and folder in os.environ:
            with site() as here:
                _install(here, Path(os.environ[folder]))
                here.people(SPACE)
                of(here, Path(os.environ[binary]), book, size, say)
        else:
            say(f"  {name} is not measured: name its binary in {binary}, and the folder of its CRDs in {folder}")


# --- Flux ---


def flux(here: Site, binary: Path, book: Book, size: Size, say: Say) -> None:
    """Send signed pushes to the receiver of one source, and over many."""
    _put(here, f"{SECRETS}/token", {"apiVersion": "v1", "kind": "Secret", "stringData": {"token": TOKEN}})
    for number in range(SPREAD):
        _put(here, f"{SOURCES}/s{number}", _source())
        _put(here, f"{RECEIVERS}/r{number}", _receiver(number))
    ports = {name: _free_port() for name in ("receiver", "events", "metrics", "health")}
    options = [
        f"--receiverAddr=:{ports['receiver']}",
        f"--events-addr=:{ports['events']}",
        f"--metrics-addr=:{ports['metrics']}",
        f"--health-addr=:{ports['health']}",
        "--watch-all-namespaces",
    ]
    with _running(here, binary, options):
        paths = [_told(here, f"{RECEIVERS}/r{number}", _webhook_path) for number in range(SPREAD)]
        address = ("127.0.0.1", ports["receiver"])
        for key, targets, count in (
            ("peer_flux_burst", paths[:1], size.burst),
            ("peer_flux_spread", paths, size.spread),
        ):
            bodies = [gateways.push(1, number, 1_700_000_000 + number) for number in range(1, count + 1)]
            requests = [
                gateways.delivery(targets[number % len(targets)], body, TOKEN) for number, body in enumerate(bodies)
            ]
            sent = hammer.send([address], requests, IN_FLIGHT)
            tail = 1000 * sent.quantile(0.99)
            say(f"  {key}: {sent.rate:.0f} a second, p99 {tail:.0f} ms, answers {dict(sent.statuses)}")
            book.add(key, sent.rate, "1/s", n=count)
            book.add(f"{key}_p99", tail, "ms", n=count)


def _source() -> Object:
    spec = {"url": "https://example.com/acme/shop", "interval": "24h", "suspend": True}
    return {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "spec": spec}


def _receiver(number: int) -> Object:
    spec = {
        "type": "github",
        "events": ["push"],
        "secretRef": {"name": "token"},
        "resources": [
            {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "name": f"s{number}"},
        ],
    }
    return {"apiVersion": "notification.toolkit.fluxcd.io/v1", "kind": "Receiver", "spec": spec}


def _webhook_path(receiver: Mapping[str, Any]) -> str | None:
    return (receiver.get("status") or {}).get("webhookPath")


# --- External Secrets ---


def external_secrets(here: Site, binary: Path, book: Book, size: Size, say: Say) -> None:
    """Have a token made for each of many installations, each into a Secret."""
    count = size.installations
    here.hub.seed(users=[{"login": "alice"}], organizations=[{"login": "team-{n}", "count": count}])
    app = make_app(here.hub)
    private_key = base64.b64encode(app.private_key.encode()).decode()
    _put(here, f"{SECRETS}/app", {"apiVersion": "v1", "kind": "Secret", "data": {"key": private_key}})
    for number in range(count):
        installation = install(here.hub, app, f"team-{number + 1}")
        _put(here, f"{GENERATORS}/g{number}", _generator(here, app, installation))
    options = [f"--metrics-addr=:{_free_port()}", f"--live-addr=:{_free_port()}", "--concurrent=16"]
    with _running(here, binary, options, SSL_CERT_FILE=here.hub.ca_file):
        began = time.monotonic()
        for number in range(count):
            _put(here, f"{EXTERNAL}/e{number}", _external(number))
        while (made := _made(here)) < count:
            assert time.monotonic() < began + PATIENCE, f"External Secrets made {made} of {count} Secrets"
            time.sleep(LOOKS)
        seconds = time.monotonic() - began
    say(f"  peer_eso_tokens: {count} in {seconds:.1f} s, the making of their objects included")
    book.add("peer_eso_tokens", count / seconds, "1/s", n=count)


def _generator(here: Site, app: LabApp, installation: int) -> Object:
    spec = {
        "url": here.hub.api_url,
        "appID": str(app.app_id),
        "installID": str(installation),
        "auth": {"privateKey": {"secretRef": {"name": "app", "key": "key"}}},
    }
    return {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "GithubAccessToken", "spec": spec}


def _external(number: int) -> Object:
    generator = {"apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "GithubAccessToken"}
    spec = {
        "refreshInterval": "30m",
        "target": {"name": f"made-{number}"},
        "dataFrom": [{"sourceRef": {"generatorRef": {**generator, "name": f"g{number}"}}}],
    }
    return {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "spec": spec}


def _made(here: Site) -> int:
    status, body = here.kube.request("GET", SECRETS)
    assert status == 200, body
    return sum(one["metadata"]["name"].startswith("made-") for one in body["items"])


# --- what both need ---


@contextmanager
def _running(here: Site, binary: Path, options: list[str], **more: str) -> Iterator[None]:
    """Run a peer until the end of the block."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(here.folder), "KUBECONFIG": here.kube.kubeconfig, **more}
    environment["RUNTIME_NAMESPACE"] = SPACE
    with (here.folder / f"{binary.name}.log").open("wb") as log:
        process = subprocess.Popen([str(binary), *options], env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _install(here: Site, folder: Path) -> None:
    """Make the kinds of a folder, and wait until they are served."""
    names = []
    for file in sorted(folder.rglob("*.yaml")):
        for kind in yaml.safe_load_all(file.read_text()):
            if kind and kind.get("kind") == "CustomResourceDefinition":
                # What converts between versions would be a webhook, and nobody runs that here.
                kind["spec"].pop("conversion", None)
                status, body = here.kube.request("POST", CRDS, kind)
                assert status in {201, 409}, body
                names.append(kind["metadata"]["name"])
    for name in names:
        _told(here, f"{CRDS}/{name}", _is_served)


def _is_served(kind: Mapping[str, Any]) -> bool | None:
    conditions = (kind.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions) or None


def _put(here: Site, path: str, body: Object) -> None:
    named = {**body, "metadata": {"name": path.rpartition("/")[2]}}
    status, answer = here.kube.request(
        "PATCH", f"{path}?fieldManager=bench&force=true", named, "application/apply-patch+yaml"
    )
    assert status in {200, 201}, answer


def _told(here: Site, path: str, of: Callable[[Mapping[str, Any]], T | None]) -> T:
    """Wait until an object says something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        status, body = here.kube.request("GET", path)
        if status == 200 and (found := of(body)) is not None:
            return found
        assert time.monotonic() < deadline, f"{path} says nothing: {status} {body}"
        time.sleep(LOOKS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
