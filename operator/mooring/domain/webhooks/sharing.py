"""Which Apps the gateway is told of, when not all of them fit into one Secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from mooring.domain.webhooks.keys import AppHook, Document, Keys, dump

# Kubernetes takes a MiB in a Secret. What is left over is for keys and labels that are still to come.
LARGEST_DOCUMENT = 900 * 1024
# What one namespace may take of it, so that nobody ends the webhooks of all others.
LARGEST_SHARE = 64 * 1024


class Dated(NamedTuple):
    """An App, and since when somebody asks for it: as Kubernetes writes a time, so that the older one sorts first."""

    since: str
    app: AppHook


def document_of(keys: Keys, own: AppHook | None, tenants: Iterable[Dated]) -> tuple[Document, int]:
    """Return what the gateway is told, and how many Apps were left out: the newest ones, never the operator's own.

    What is beyond the share of its namespace goes first, and takes nothing from others.
    """
    apps = [] if own is None else [own]
    empty = len(dump(Document(keys)))
    left = LARGEST_DOCUMENT - empty - sum(_length(keys, app) - empty for app in apps)
    told, out = list(apps), 0
    shares: Counter[str | None] = Counter()
    for _, app in sorted(tenants, key=lambda one: (one.since, one.app.namespace, one.app.secret, one.app.origin)):
        length = _length(keys, app) - empty
        shares[app.namespace] += length
        if shares[app.namespace] > LARGEST_SHARE:
            out += 1
            continue
        left -= length
        # One that is too large must not make room for a newer one: which are told would change with each secret.
        if left < 0:
            out += 1
        else:
            told.append(app)
    return Document(keys, tuple(told)), out


def _length(keys: Keys, app: AppHook) -> int:
    """Return the length of a document with one App alone, and of the comma before it."""
    return len(dump(Document(keys, (app,)))) + 1
