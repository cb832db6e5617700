"""The floor of pushes: what a gateway writes, written by a bare client, each time into another object.

The objects are Projects of another group, which neither operator nor gateway watches. All else is as a gateway finds
it: the schema, who wrote which field before, its account, and the policy that the API server holds that account to.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench import floor, gateways, worlds
from bench.floor import Request, Timing, request
from bench.site import Site
from lab.kubernetes.kubeconfig import Access
from mooring.cluster.client import METADATA_ONLY
from tests.cluster.conftest import ROOT, Kube
from tests.cluster.process import SYSTEM, apply_role

Object = dict[str, Any]
GROUP, PLACE = "bare.mooring.dev", "/apis/bare.mooring.dev/v1alpha1"
NAMESPACE, ACCOUNT = "bare", "mooring-gateway"
OPERATORS, GATEWAYS = "mooring", "mooring-gateway"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
PATIENCE, LOOKS = 60.0, 0.1


class BareProjects:
    """Objects that nobody watches, and PATCHes of their status."""

    def __init__(self, here: Site, count: int, writes: int) -> None:
        """Take how many objects there are, and how many writes a measurement is."""
        self._here = here
        self._count = count
        self._writes = writes
        self._numbers = itertools.count(1)
        self._fields: Object = {}
        self._as_gateway = here.authorization(ACCOUNT)
        _install(here)
        here.people(NAMESPACE)

    def take_shape(self, project: Object) -> None:
        """Make all objects like a Project; from now on what is written is what a gateway writes into that."""
        self._fields = {name: project["status"][name] for name in ("push", "deliveries")}
        for shape in (self._spec, self._status):
            worlds.send(self._here, [shape(number, project) for number in range(self._count)])
        # So that each gateway's fields are booked to it, as they are in a Project.
        worlds.send(self._here, [self._write(number) for number in range(self._count)])
        self._await_policy()

    def measure(self) -> list[Timing]:
        """Return the timings with 1, 16 and 64 in flight."""
        found: list[Timing] = []

        async def work() -> None:
            reads = [request("GET", f"{self._here.access.server}{PLACE}", headers=self._as_gateway)]
            async with floor.session(self._here.access.ca) as client:
                for in_flight, share in zip(floor.IN_FLIGHT, floor.SHARES, strict=True):
                    requests = [self._write(next(self._numbers)) for _ in range(int(share * self._writes))]
                    await floor.warm(client, reads, in_flight)
                    found.append(await floor.drive(client, requests, in_flight))

        floor.run(work())
        return found

    def _write(self, number: int) -> Request:
        push = {**self._fields["push"], "sha": gateways.sha(number)}
        body = {"status": {**self._fields, "push": push}}
        path = f"{_path(number % self._count)}/status?fieldManager={GATEWAYS}"
        return self._patch(path, body, MERGE, {**self._as_gateway, "Accept": METADATA_ONLY})

    def _spec(self, number: int, project: Mapping[str, Any]) -> Request:
        named = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Project", "metadata": {"name": f"b{number}"}}
        path = f"{_path(number)}?fieldManager=people&force=true"
        return self._patch(path, {**named, "spec": project["spec"]}, APPLY, self._here.authorization())

    def _status(self, number: int, project: Mapping[str, Any]) -> Request:
        path = f"{_path(number)}/status?fieldManager={OPERATORS}"
        return self._patch(path, {"status": project["status"]}, MERGE, self._here.authorization())

    def _patch(self, path: str, body: Mapping[str, Any], content_type: str, headers: Mapping[str, str]) -> Request:
        content = json.dumps(body, separators=(",", ":")).encode()
        return request("PATCH", self._here.access.server + path, content, content_type=content_type, headers=headers)

    def _await_policy(self) -> None:
        """See that the gateway's account is held to its fields here, too."""
        kubeconfig = self._here.kubeconfig(ACCOUNT)
        gateway = Kube(Access.load(kubeconfig), str(kubeconfig))
        try:
            deadline = time.monotonic() + PATIENCE
            foreign = {"status": {"observedGeneration": 1_000}}
            while gateway.request("PATCH", f"{_path(0)}/status?dryRun=All", foreign, MERGE)[0] != 403:
                assert time.monotonic() < deadline, "the floor's writes are under no policy"
                time.sleep(LOOKS)
        finally:
            gateway.close()


def _path(number: int) -> str:
    return f"{PLACE}/namespaces/{NAMESPACE}/projects/b{number}"


def _install(here: Site) -> None:
    """Make the kind: that of Projects, under another group; let the gateway's account write it as it writes those."""
    (file,) = Path(ROOT / "crds").glob("*_projects.yaml")
    kind = yaml.safe_load(file.read_text())
    kind["metadata"]["name"] = f"projects.{GROUP}"
    kind["spec"]["group"] = GROUP
    kind["spec"]["names"] = {"kind": "Project", "plural": "projects"}
    kind["metadata"].pop("annotations", None)
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    status, body = here.kube.request("POST", path, kind)
    assert status in {201, 409}, body
    for name in ("gateway.yaml", "gateway-cluster-wide.yaml"):
        for manifest in yaml.safe_load_all(Path(ROOT / "manifests" / "rbac" / name).read_text()):
            if manifest["kind"] != "ServiceAccount":
                apply_role(here.kube, _elsewhere(manifest), SYSTEM)
    deadline = time.monotonic() + PATIENCE
    while here.kube.request("GET", f"{PLACE}/namespaces/{NAMESPACE}/projects?limit=1")[0] != 200:
        assert time.monotonic() < deadline, "the kind of the floor was not served"
        time.sleep(LOOKS)


def _elsewhere(manifest: Object) -> Object:
    """Return one of the gateway's manifests for the floor's group, under a name of its own."""
    found: Object = json.loads(json.dumps(manifest).replace('"mooring.dev"', f'"{GROUP}"'))
    name = f"bare-{found['metadata']['name']}"
    found["metadata"]["name"] = name
    if found["kind"] == "ClusterRoleBinding":
        found["roleRef"]["name"] = name
    if found["kind"] == "ValidatingAdmissionPolicyBinding":
        found["spec"]["policyName"] = name
    return found
