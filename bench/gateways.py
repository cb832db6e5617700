"""Gateways as processes, with the chart's defaults, and pushes as GitHub sends them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.hammer import Address, prepared
from bench.site import Site
from mooring.domain.names import WEBHOOK_KEY, WEBHOOK_SECRET
from tests.cluster.process import SYSTEM, Gateway, start_gateway, wait_serving

PATIENCE = 300.0
# Of the rest of a push, which nobody reads: about as long as GitHub's own with one commit.
BODY_BYTES = 3072


def webhook_document(here: Site) -> str:
    """Return what the operator wrote for gateways."""
    status, secret = here.kube.request("GET", f"/api/v1/namespaces/{SYSTEM}/secrets/{WEBHOOK_SECRET}")
    assert status == 200, secret
    return base64.b64decode(secret["data"][WEBHOOK_KEY]).decode()


def mounted(here: Site, document: str) -> Path:
    """Return a folder with a document, as kubelet mounts it."""
    folder = Path(tempfile.mkdtemp(prefix="webhook-", dir=here.folder))
    (folder / WEBHOOK_KEY).write_text(document)
    return folder


def start(here: Site, mount: Path, **settings: str) -> Gateway:
    """Start a gateway, which is not ready yet."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-", dir=here.folder))
    more = {"MOORING_LOG_LEVEL": "info", **settings}
    return start_gateway(here.lab, here.kubeconfig("mooring-gateway"), mount, folder, "gateway", **more)


@contextmanager
def running(here: Site, mount: Path, count: int, **settings: str) -> Iterator[list[Gateway]]:
    """Run so many gateways until the end of the block; they are ready when it begins."""
    gateways = [start(here, mount, **settings) for _ in range(count)]
    try:
        for gateway in gateways:
            wait_serving(gateway, seconds=PATIENCE)
        yield gateways
    finally:
        for gateway in gateways:
            if gateway.process.poll() is None:
                gateway.stop()


def addresses(gateways: Sequence[Gateway]) -> list[Address]:
    """Return where gateways take deliveries."""
    return [(where.hostname or "", where.port or 0) for where in (urlsplit(one.url) for one in gateways)]


def sha(number: int) -> str:
    """Return a commit that there never was."""
    return f"{number:040x}"


def push(repository: int, number: int, pushed_at: int, head: str | None = None) -> dict[str, Any]:
    """Return what GitHub says of a push with one commit, shortened where nobody reads it.

    Where it says what the branch's head is in truth, the operator need not look again whether GitHub lags behind.
    """
    after = head or sha(number)
    user = {
        "login": "alice",
        "id": 1001,
        "avatar_url": "https://avatars.example.com/u/1001?v=4",
        "url": "https://api.example.com/users/alice",
        "type": "User",
        "site_admin": False,
    }
    person = {"name": "Alice", "email": "alice@example.com", "username": "alice"}
    commit = {
        "id": after,
        "tree_id": sha(number + 7),
        "distinct": True,
        "message": "Say more",
        "timestamp": "2026-01-01T12:00:00Z",
        "url": f"https://example.com/acme/shop/commit/{after}",
        "author": person,
        "committer": person,
        "added": [],
        "removed": [],
        "modified": ["README.md", "src/main.py"],
    }
    return {
        "ref": "refs/heads/main",
        "before": sha(number - 1),
        "after": after,
        "repository": {
            "id": repository,
            "name": "shop",
            "full_name": "acme/shop",
            "private": True,
            "owner": user,
            "html_url": "https://example.com/acme/shop",
            "description": None,
            "fork": False,
            "created_at": 1700000000,
            "updated_at": "2026-01-01T12:00:00Z",
            "pushed_at": pushed_at,
            "size": 1234,
            "language": "Python",
            "topics": ["one", "two"],
            "default_branch": "main",
        },
        "pusher": {"name": "alice", "email": "alice@example.com"},
        "sender": user,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": "https://example.com/acme/shop/compare/1...2",
        "commits": [commit],
        "head_commit": commit,
    }


def delivery(path: str, payload: Mapping[str, Any], secret: str, size: int = BODY_BYTES) -> bytes:
    """Return a signed request with a body of so many bytes, written without blanks as GitHub does."""
    short = len(_compact({**payload, "padding": ""}))
    body = _compact({**payload, "padding": "x" * max(0, size - short)})
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Hook-Installation-Target-ID": "1",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature": f"sha1={'0' * 40}",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return prepared(path, body, headers)


def _compact(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
