"""Projects of all kinds, and what version N makes of them in `golden/vN/<project>.yaml`, to the byte.

`python -m tests.unit.domain.manifests.projects` writes the files of a version that has none yet. It leaves those of
every other version alone: what a released version renders never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mooring.domain import names
from mooring.domain.manifests import versions
from mooring.domain.projects import Ingredients, SourceFacts, manifests
from mooring.domain.resources.project_status import RevisionStatus, Trigger
from tests.unit.domain.manifests.cases import (
    CHECKOUT_IMAGE,
    DELIVERY,
    FULL_EXPOSE,
    FULL_WORKLOAD,
    PLAIN_WORKLOAD,
    SHA,
    TOKEN,
)
from tests.unit.objects import project

GOLDEN = Path(__file__).parent / "golden"
IMAGE = RevisionStatus(trigger=Trigger.CREATE)
PUSHED = RevisionStatus(
    sha=SHA, short_sha=SHA[:7], trigger=Trigger.PUSH, delivery=DELIVERY, checkout_image=CHECKOUT_IMAGE
)
SHOP = SourceFacts("GitHub", "acme/shop", "https://github.com/acme/shop.git", "main", SHA, SHA, 7, "R_7", private=True)
GIT = SourceFacts("Git", "git.example.com/acme/shop", "https://git.example.com/acme/shop.git", "main", SHA, SHA)
GITHUB = {"github": {"repository": "acme/shop"}}
CLONE = "mooring-clone-0a1b2c3d-1"
_PROBE: dict[str, Any] = {"periodSeconds": 3, "successThreshold": 1, "timeoutSeconds": 2, "failureThreshold": 4}
_PORTS = [{"containerPort": 8080}, {"name": "http", "containerPort": 8081}]


@dataclass(frozen=True)
class Example:
    """One Project, and what was found out about it."""

    spec: Mapping[str, Any]
    revision: RevisionStatus = IMAGE
    token: str | None = None
    source: SourceFacts | None = None
    fetches: bool = False
    service_account: str | None = None
    clone_secret: str | None = None
    authorities: str | None = None
    large_file_hosts: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)

    def render(self, version: int) -> str:
        """Return all children as the text of a golden file."""
        made_of = Ingredients(
            project=project(spec=self.spec, annotations=dict(self.annotations)),
            generation=3,
            token=self.token,
            source=self.source,
            token_fetches=self.fetches,
            service_account=self.service_account,
            clone_secret=self.clone_secret,
            authorities=self.authorities,
            token_authorities=self.authorities,
            token_origin="https://github.com",
            large_file_hosts=self.large_file_hosts,
        )
        rendered = manifests(made_of, self.revision, version=version)
        return yaml.dump_all(rendered.values(), Dumper=_Literal, sort_keys=False, width=120)


def _with(**workload: Any) -> dict[str, Any]:
    return {"workload": {**PLAIN_WORKLOAD, **workload}}


EXAMPLES: dict[str, Example] = {
    "image-only": Example(_with()),
    "image-and-token": Example(_with(), token=TOKEN),
    "own-variable-for-the-token": Example(_with(tokenEnv="GH_TOKEN", env=[{"name": "A", "value": "1"}]), token=TOKEN),
    "suspended": Example({**_with(replicas=2), "suspend": True}, token=TOKEN),
    "public-source": Example({**_with(), "source": GITHUB}, PUSHED, source=SHOP),
    "source-with-own-token": Example({**_with(), "source": GITHUB}, PUSHED, TOKEN, SHOP, fetches=True),
    "source-with-a-token-for-elsewhere": Example({**_with(), "source": GITHUB}, PUSHED, TOKEN, SHOP),
    "public-source-of-a-private-authority": Example(
        {**_with(), "source": GITHUB}, PUSHED, source=SHOP, authorities="-- a certificate --\n"
    ),
    "own-token-of-a-private-authority": Example(
        {**_with(), "source": GITHUB}, PUSHED, TOKEN, SHOP, fetches=True, authorities="-- a certificate --\n"
    ),
    "source-with-an-installation": Example(
        {**_with(mountPath="/srv"), "source": GITHUB, "installationRef": {"name": "acme"}},
        PUSHED,
        TOKEN,
        SHOP,
        fetches=True,
        clone_secret=CLONE,
    ),
    "folder-with-submodules-and-large-files": Example(
        {
            **_with(runAsUser=1000, workingDir="/workspace/web"),
            "source": {"git": {"url": GIT.url}, "path": "-odd/$(HOME)", "submodules": True, "lfs": True},
        },
        PUSHED,
        source=GIT,
    ),
    "large-files-elsewhere": Example(
        {**_with(), "source": {**GITHUB, "lfs": True}},
        PUSHED,
        source=SHOP,
        large_file_hosts=("github-cloud.githubusercontent.com", "s3.example.com:8443"),
    ),
    "large-files-elsewhere-that-nobody-asks-for": Example(
        {**_with(), "source": GITHUB}, PUSHED, source=SHOP, large_file_hosts=("github-cloud.githubusercontent.com",)
    ),
    "groups": Example({**_with(runAsUser=1000, runAsGroup=1001), "source": GITHUB}, PUSHED, source=SHOP),
    "service-without-a-host": Example({**_with(ports=_PORTS), "expose": {}}),
    "plain-host": Example({**_with(ports=_PORTS[:1]), "expose": {"host": "shop.example.com"}}),
    "restarted": Example(_with(), token=TOKEN, annotations={names.RESTART_ANNOTATION: "2026-01-02T03:04:05Z"}),
    "rolled-back": Example(
        {**_with(), "source": {**GITHUB, "revision": SHA}}, PUSHED.model_copy(update={"trigger": Trigger.ROLLBACK})
    ),
    "service-account": Example(_with(serviceAccountName="shop"), service_account="shop"),
    "probes": Example(
        _with(
            startupProbe={"tcpSocket": {"port": 8080}, "initialDelaySeconds": 1, **_PROBE},
            readinessProbe={"grpc": {"port": 9090, "service": "ready"}, **_PROBE},
            livenessProbe={
                "httpGet": {
                    "path": "/live",
                    "port": 8080,
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "Accept", "value": "text/plain"}],
                },
                "terminationGracePeriodSeconds": 9,
                **_PROBE,
            },
        )
    ),
    "everything": Example(
        {
            "workload": FULL_WORKLOAD,
            "source": {**GITHUB, "submodules": True, "lfs": True, "path": "services/shop"},
            "expose": FULL_EXPOSE,
        },
        PUSHED,
        TOKEN,
        SHOP,
        fetches=True,
        service_account="shop",
        annotations={names.RESTART_ANNOTATION: "2026-01-02T03:04:05Z"},
    ),
}


class _Literal(yaml.SafeDumper):
    """Writes out what is there twice, rather than referring to it."""

    def ignore_aliases(self, data: Any) -> bool:
        """Nothing is an alias."""
        return True


def place(version: int, name: str) -> Path:
    """Return where a golden file is."""
    return GOLDEN / f"v{version}" / f"{name}.yaml"


def write() -> None:
    """Write what is not there yet."""
    for version in versions.RENDERERS:
        for name, example in EXAMPLES.items():
            path = place(version, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(example.render(version), encoding="utf-8")


if __name__ == "__main__":
    write()
