"""The reads and mints of the lab's GitHub, as its journal has them, to be asked once more."""

from __future__ import annotations

import json
import re
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import jwt

from bench.floor import Request, request
from bench.worlds import World
from tests.cluster.operator.apps import LabApp

Object = dict[str, Any]
MINT = re.compile(r"/app/installations/(\d+)/access_tokens$")
# Of what an App is asked with its own key.
AS_APP = re.compile(r"/app(?:/|$)|/(?:orgs|users|repos)/.+/installation$")
AS_INSTALLATION = re.compile(r"/installation/")
JWT_SECONDS = 540


@dataclass
class Replayer:
    """Whoever asks GitHub has credentials that are made before the clock starts."""

    world: World
    _etags: dict[str, str] = field(default_factory=dict, repr=False)

    def requests(self, journal: Sequence[Object]) -> tuple[list[tuple[str, Request]], Counter[str]]:
        """Return the requests of a journal with what each is, and count those that cannot be asked again."""
        keys = {f"app-{app.app_id}": self._jwt(app) for app in self.world.apps}
        found: list[tuple[str, Request]] = []
        left_out: Counter[str] = Counter()
        with httpx.Client(
            verify=ssl.create_default_context(cafile=self.world.site.hub.ca_file), trust_env=False
        ) as client:
            token = self._token(client, keys, journal)
            for entry in journal:
                key = keys.get(entry["credential"], "")
                method, path = entry["method"], str(entry["path"])
                bare = path.partition("?")[0]
                if MINT.search(bare) and method == "POST":
                    found.append(("mint", _mint(entry, key)))
                elif method == "GET":
                    shown = key if AS_APP.search(bare) else token if AS_INSTALLATION.search(bare) else self.world.token
                    found.append(("read", self._read(client, entry, shown)))
                else:
                    left_out[f"{method} {bare}"] += 1
        return found, left_out

    def _jwt(self, app: LabApp) -> str:
        now = datetime.fromisoformat(self.world.site.hub.control("GET", "/clock")["now"]).timestamp()
        claims = {"iss": str(app.app_id), "iat": int(now) - 10, "exp": int(now) + JWT_SECONDS}
        return jwt.encode(claims, app.private_key, algorithm="RS256")

    def _token(self, client: httpx.Client, keys: Mapping[str, str], journal: Sequence[Object]) -> str:
        """Make a token like those that the product read with, where it made any."""
        for entry in journal:
            if MINT.search(str(entry["path"])):
                answer = client.post(_url(entry), headers=_headers(keys[entry["credential"]]))
                return str(answer.raise_for_status().json()["token"])
        return self.world.token

    def _read(self, client: httpx.Client, entry: Mapping[str, Any], token: str) -> Request:
        headers = _headers(token)
        if entry["status"] == 304:
            headers["If-None-Match"] = self._etag(client, _url(entry), headers)
        return request("GET", _url(entry), headers=headers, status=entry["status"])

    def _etag(self, client: httpx.Client, url: str, headers: Mapping[str, str]) -> str:
        if url not in self._etags:
            self._etags[url] = client.get(url, headers=headers).raise_for_status().headers["ETag"]
        return self._etags[url]


def _mint(entry: Mapping[str, Any], key: str) -> Request:
    return request("POST", _url(entry), json.dumps(entry["asked"]).encode(), headers=_headers(key))


def _url(entry: Mapping[str, Any]) -> str:
    return f"{entry['origin']}{entry['path']}"


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "User-Agent": "floor"}
