"""The Secrets of a GitHubInstallation's outputs: how a token is written for those who use it, and read back.

A template is text in which four placeholders are replaced, in one pass: what comes in is never looked at again, and
nothing in a template is evaluated.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from mooring.domain import names, origins, token_shape
from mooring.domain.conditions import timestamp
from mooring.domain.errors import Stalled
from mooring.domain.reasons import Reason
from mooring.domain.resources.github_installation import GitHubInstallation, OutputFormat, TokenOutput

TEMPLATE_KEY = "content"
USERNAME_KEY = "username"
PASSWORD_KEY = "password"  # noqa: S105 - a key's name
NETRC_KEY = ".netrc"
CREDENTIALS_KEY = ".git-credentials"
DOCKER_KEY = ".dockerconfigjson"

# What Kubernetes takes as the data of a Secret, all keys together.
MAX_SECRET_BYTES = 1024 * 1024

_TYPES = {
    OutputFormat.BASIC_AUTH: "kubernetes.io/basic-auth",
    OutputFormat.DOCKER_CONFIG_JSON: "kubernetes.io/dockerconfigjson",
}
_PLACEHOLDER = re.compile(r"\$\((token|host|username|expiresAt)\)")
_LONGEST = {
    "token": "t" * token_shape.MAX_LENGTH,
    "host": "h" * 260,
    "username": names.TOKEN_USER,
    "expiresAt": "2000-01-01T00:00:00Z",
}
# What stands where a placeholder was. A run is taken whole and never given back, so reading takes one pass, and where a
# value and the text after it cannot be told apart nothing is found.
_RUNS = {
    "token": r"(?P<token>[A-Za-z0-9_.\-]++)",
    "host": r"(?P<host>[a-z0-9][a-z0-9.:\-]*+)",
    "username": re.escape(names.TOKEN_USER),
    "expiresAt": r"(?P<expiresAt>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)",
}
# A placeholder that comes again has the value that it had before.
_AGAIN = {**{name: f"(?P={name})" for name in _RUNS}, "username": _RUNS["username"]}
_NETRC = re.compile(r"machine [^ ]++ login [^ ]++ password (?P<token>[^ \n]++)\n")
_CREDENTIALS = re.compile(r"https://[^:@/]++:(?P<token>[^:@/]++)@[^@/\n]++\n")


# --- writing ---


def output_secret(
    installation: GitHubInstallation,
    output: TokenOutput,
    token: str,
    *,
    host: str,
    registry: str,
    expires_at: datetime,
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """Return the Secret of one output. `host` is where people and git find GitHub, with its port where it has one.

    The annotations are the caller's, and nothing is added to them: who may read them may not read the token.
    """
    check_output(output)
    values = {"token": token, "host": host, "username": names.TOKEN_USER, "expiresAt": timestamp(expires_at)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(installation, output, annotations),
        "type": _type(output),
        # Said, so that whoever applies another value meets a conflict: once true, nobody can take it back.
        "immutable": False,
        "data": {
            key: base64.b64encode(text.encode()).decode() for key, text in _data(output, values, registry).items()
        },
    }


def check_output(output: TokenOutput) -> None:
    """Raise Stalled where no Secret could hold the output.

    Asked before a token is asked for, so that none is made that nobody gets.
    """
    if output.template is None or len(_fill(output.template, _LONGEST).encode()) <= MAX_SECRET_BYTES:
        return
    raise Stalled(
        Reason.INVALID_SPEC,
        f"The template of output {output.secret_name} may give more than the {MAX_SECRET_BYTES} bytes that a Secret"
        " holds. Use fewer placeholders.",
    )


def registry_of(web_url: str) -> str:
    """Return the container registry of a GitHub: a name of its own for github.com, else a subdomain of the host."""
    host = origins.host_of(web_url)
    return "ghcr.io" if str(host) == "github.com" else f"containers.{host}"


def needs_new_object(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a Secret must be deleted and made anew, because the API server lets nobody change it so."""
    return live.get("immutable") is True or live.get("type", "Opaque") != wanted["type"]


def _metadata(installation: GitHubInstallation, output: TokenOutput, annotations: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": output.secret_name,
        "namespace": installation.metadata.namespace,
        "labels": {
            names.MANAGED_BY: names.MANAGER,
            names.INSTALLATION_LABEL: names.label_value(installation.metadata.name),
        },
        "annotations": dict(annotations),
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": "GitHubInstallation",
                "name": installation.metadata.name,
                "uid": installation.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def _type(output: TokenOutput) -> str:
    return _TYPES.get(output.format, "Opaque")


def _data(output: TokenOutput, values: Mapping[str, str], registry: str) -> dict[str, str]:
    token, host, user = values["token"], values["host"], values["username"]
    match output.format:
        case OutputFormat.TOKEN:
            return {names.EFFECTIVE_TOKEN_KEY: token}
        case OutputFormat.BASIC_AUTH:
            return {USERNAME_KEY: user, PASSWORD_KEY: token}
        case OutputFormat.NETRC:
            # Readers of a netrc compare the host's name alone: with a port in it, none of them finds the line.
            return {NETRC_KEY: f"machine {origins.parse_host(host).name} login {user} password {token}\n"}
        case OutputFormat.GIT_CREDENTIALS:
            return {CREDENTIALS_KEY: f"https://{quote(user, safe='')}:{quote(token, safe='')}@{host}\n"}
        case OutputFormat.DOCKER_CONFIG_JSON:
            return {DOCKER_KEY: _docker_config(registry, user, token)}
        case OutputFormat.TEMPLATE:
            return {TEMPLATE_KEY: _fill(output.template or "", values)}


def _docker_config(registry: str, user: str, token: str) -> str:
    # `auth` is what Docker reads, the other two are what some readers of pull secrets look at.
    auth = base64.b64encode(f"{user}:{token}".encode()).decode()
    return json.dumps({"auths": {registry: {"username": user, "password": token, "auth": auth}}})


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


# --- reading back ---


def token_in_output(output: TokenOutput, secret: Mapping[str, Any]) -> str | None:
    """Return the token that such a Secret holds, None where it does not look as this output was written.

    A template may leave open where the token ends; then, too, nothing is found.
    """
    data = secret.get("data") or {}
    if secret.get("type", "Opaque") != _type(output):
        return None
    found: str | None
    match output.format:
        case OutputFormat.TOKEN:
            found = _text(data, names.EFFECTIVE_TOKEN_KEY)
        case OutputFormat.BASIC_AUTH:
            found = _text(data, PASSWORD_KEY)
        case OutputFormat.NETRC:
            found = _matched(_NETRC, _text(data, NETRC_KEY))
        case OutputFormat.GIT_CREDENTIALS:
            # A token's characters are never escaped in a URL.
            found = _matched(_CREDENTIALS, _text(data, CREDENTIALS_KEY))
        case OutputFormat.DOCKER_CONFIG_JSON:
            found = _docker_password(_text(data, DOCKER_KEY))
        case OutputFormat.TEMPLATE:
            found = _matched(_pattern(output.template or ""), _text(data, TEMPLATE_KEY))
    return found if found is not None and token_shape.is_token(found) else None


def _text(data: Mapping[str, str], key: str) -> str:
    try:
        return base64.b64decode(data.get(key) or "", validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _matched(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.fullmatch(text)
    return found.groupdict().get("token") if found else None


def _docker_password(text: str) -> str | None:
    try:
        (entry,) = json.loads(text)["auths"].values()
        password = entry["password"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return password if isinstance(password, str) else None


def _pattern(template: str) -> re.Pattern[str]:
    """Return what a filled template looks like, with a group for what stands where each placeholder was first."""
    parts: list[str] = []
    runs = dict(_RUNS)
    # Split by the placeholders, whose names come at every second place.
    for place, part in enumerate(_PLACEHOLDER.split(template)):
        if place % 2 == 0:
            parts.append(re.escape(part))
        else:
            parts.append(runs[part])
            runs[part] = _AGAIN[part]
    return re.compile("".join(parts))
