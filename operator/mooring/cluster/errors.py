"""What the API server's refusals mean, in one place: from status and body to the errors that services know.

A message names the object, the field and the next step. It is made of field paths and of the server's explanation
without the values that it quotes; about a Secret it says nothing but field paths.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from mooring.cluster.connection import Answer, AnswerTooLarge
from mooring.cluster.kinds import Resource
from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import Reason
from mooring.ports import AlreadyExists, Changed, Object

# Seconds: a server that asks for longer is asked again after this all the same.
LONGEST_WAIT = 300
# Characters of the server's own explanation, and fields of a rejected object, that go into a message.
EXPLANATION_LENGTH = 300
FIELDS_NAMED = 5

_STRICT_FIELD = re.compile(r'(?:unknown|duplicate) field "([^"\\]{1,200})"')
_JSON_FIELD = re.compile(r"Go struct field ([\w.\[\]]{1,200}) of type")
# Only the path before the first key of a list-map: a key is a value too.
_TYPED_FIELD = re.compile(r"failed to create typed patch object \([^)]*\): (?:errors:\s*)?(\.[\w./-]{1,200})")
_MISSING_RIGHT = re.compile(r'User "[^"]*" cannot ([a-z]{1,20}) resource "')
_UNREADABLE = ("failed to create typed patch object", "failed to convert new object")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as RBAC and people name it."""

    verb: str
    resource: Resource
    namespace: str | None
    name: str | None
    subresource: str = ""

    @property
    def path(self) -> str:
        """Return where the object, or this part of it, stands in the API."""
        path = self.resource.path(self.namespace, self.name or "")
        return f"{path}/{self.subresource}" if self.subresource else path

    @property
    def subject(self) -> str:
        """Name the object."""
        path = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.resource.kind} {path}" if path else f"{self.resource.kind} objects of all namespaces"

    @property
    def right(self) -> str:
        """Name the right that a Role must grant."""
        resource = f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural
        group = f" of {self.resource.group}" if self.resource.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else " in all namespaces"
        return f"{self.verb} on {resource}{group}{where}"


def refusal(  # noqa: PLR0911 - one return for each status reads best
    asked: Asked, answer: Answer, now: datetime
) -> Trouble | AlreadyExists | Changed:
    """Return the error that an answer of 300 or more means."""
    status = _decoded(answer.body)
    if answer.status == 404:
        return _not_found(asked, status)
    if answer.status == 409:
        return _conflict(asked, status)
    if answer.status == 429:
        return _too_many(asked, answer, status, now)
    if answer.status in {400, 413, 422} or (answer.status == 500 and _is_unreadable(status)):
        return _invalid(asked, answer, status)
    if answer.status == 401:
        return Transient(
            Reason.CLUSTER_UNAVAILABLE,
            f"The API server does not accept Mooring's credentials ({asked.subject}). They are read again; if it "
            "stays, check the operator's service account or kubeconfig.",
        )
    if answer.status == 403:
        return _forbidden(asked, status)
    return Transient(
        Reason.CLUSTER_UNAVAILABLE,
        f"The API server answered {answer.status} to {asked.verb} of {asked.subject}. It is tried again.",
    )


def no_answer(asked: Asked, error: Exception) -> Transient:
    """Return the error that stands for a request without an answer. The cause's own text may quote what was sent."""
    if isinstance(error, AnswerTooLarge):
        what = "sent more than is accepted"
    elif isinstance(error, TimeoutError):
        what = "did not answer in time"
    else:
        what = f"could not be reached ({type(error).__name__})"
    return Transient(
        Reason.CLUSTER_UNAVAILABLE, f"The API server {what}: {asked.verb} of {asked.subject}. It is tried again."
    )


def is_missing(answer: Answer) -> bool:
    """Tell that the API server knows the kind and has no such object, from a path that it does not serve."""
    return answer.status == 404 and _decoded(answer.body).get("reason") == "NotFound"


def decoded_object(asked: Asked, answer: Answer) -> Object:
    """Return the object of a good answer, without the managedFields that nobody here reads."""
    content = _decoded(answer.body)
    if not content:
        raise no_object(asked)
    if isinstance(metadata := content.get("metadata"), dict):
        metadata.pop("managedFields", None)
    return content


def no_object(asked: Asked) -> Transient:
    """Return the error for an answer that is no JSON object: something between us and the API server answered."""
    return Transient(
        Reason.CLUSTER_UNAVAILABLE,
        f"What answered to {asked.verb} of {asked.subject} is not the API server: the answer is no JSON object.",
    )


def wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return what Retry-After asks for; None without one. The API server gives seconds, never a date."""
    text = headers.get("Retry-After", "").strip()
    return float(min(int(text), LONGEST_WAIT)) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _decoded(body: bytes) -> dict[str, Any]:
    """Return the Status object; an empty one for anything else, such as a proxy's page."""
    try:
        content = orjson.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _causes(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    causes = (status.get("details") or {}).get("causes") or []
    return [cause for cause in causes if isinstance(cause, dict)]


def _not_found(asked: Asked, status: Mapping[str, Any]) -> Trouble | Changed:
    if status.get("reason") == "NotFound":
        return Changed(f"{asked.subject} or its namespace is gone")
    return Transient(
        Reason.CLUSTER_UNAVAILABLE,
        f"The API server does not serve {asked.resource.role_name} {asked.resource.version}: install or update the "
        "CustomResourceDefinitions of this version of Mooring.",
    )


def _conflict(asked: Asked, status: Mapping[str, Any]) -> AlreadyExists | Changed:
    if status.get("reason") == "AlreadyExists":
        return AlreadyExists(f"{asked.subject} exists already")
    return Changed(f"{asked.subject} was changed, removed or replaced since it was read")


def _too_many(asked: Asked, answer: Answer, status: Mapping[str, Any], now: datetime) -> Trouble:
    message = f"The API server has too much to do ({asked.verb} of {asked.subject}). It is tried again."
    seconds = wait_seconds(answer.headers)
    if seconds is None:
        told = (status.get("details") or {}).get("retryAfterSeconds")
        seconds = float(min(told, LONGEST_WAIT)) if isinstance(told, int) else None
    if seconds is None:
        return Transient(Reason.CLUSTER_UNAVAILABLE, message)
    return Waiting(Reason.CLUSTER_UNAVAILABLE, message, until=now + timedelta(seconds=max(seconds, 1.0)))


def _forbidden(asked: Asked, status: Mapping[str, Any]) -> Transient:
    """Tell a missing right from an admission check. Neither's end is watched: both are tried again, more slowly."""
    message = str(status.get("message") or "")
    if any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(status)):
        return Transient(Reason.CLUSTER_UNAVAILABLE, f"{asked.subject}: its namespace is being deleted.")
    if missing := _MISSING_RIGHT.search(message):
        # An apply needs two verbs, so the server's own is told: create where there was nothing to patch.
        right = replace(asked, verb=missing[1]).right
        return Transient(
            Reason.CLUSTER_UNAVAILABLE,
            f"Mooring's Role lacks the right to {right}. Install the Roles of this version of Mooring.",
        )
    return Transient(
        Reason.NOT_ALLOWED,
        f"The cluster's admission refuses {asked.verb} of {asked.subject}{_explanation(asked, message)}. "
        "Change the spec, the quota or the policy that refuses it; it is tried again.",
    )


def _invalid(asked: Asked, answer: Answer, status: Mapping[str, Any]) -> Trouble | Changed:
    causes = _causes(status)
    if any(cause.get("field") == "metadata.uid" for cause in causes):
        return Changed(f"{asked.subject} was replaced since it was read")
    if answer.status == 413:
        return Stalled(Reason.INVALID_SPEC, f"{asked.subject} is too large for the API server. Make the spec smaller.")
    rules = [text for cause in causes if (text := _rule(asked, cause))]
    if not rules:
        rules = _fields(str(status.get("message") or ""))
    told = "; ".join(rules[:FIELDS_NAMED]) or "it does not say which field"
    return Stalled(
        Reason.INVALID_SPEC, f"The API server rejects {asked.subject}: {told}. Correct the spec that it is made from."
    )


def _is_unreadable(status: Mapping[str, Any]) -> bool:
    """Tell a server-side apply of the wrong shape, which the API server calls an internal error (1.36)."""
    return str(status.get("message") or "").startswith(_UNREADABLE)


def _rule(asked: Asked, cause: Mapping[str, Any]) -> str:
    field = str(cause.get("field") or "")
    if not field or field == "<nil>":
        return ""
    if asked.resource.kind == "Secret":
        return f"{field} ({cause.get('reason') or 'invalid'})"
    return f"{field}: {without_value(str(cause.get('message') or 'invalid'))}"


def _fields(message: str) -> list[str]:
    found: list[str] = []
    for pattern in (_STRICT_FIELD, _JSON_FIELD, _TYPED_FIELD):
        found += [f"{field.lstrip('.')}: unknown or of the wrong type" for field in pattern.findall(message)]
    return found


def without_value(message: str) -> str:
    """Return a validation message without the value that it quotes: `Invalid value: "x": must be y` -> `must be y`."""
    problem, _, rest = message.partition(": ")
    if problem in {"Required value", "Forbidden", "Too long", "Too many", "Too few"}:
        return _clean(message)
    try:
        _, end = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return _clean(problem)
    detail = rest[end:].removeprefix(": ")
    # A schema's message repeats the value at its end: `must be of type integer: "x"`.
    quoted = rest[:end]
    return _clean(detail.removesuffix(f": {quoted}") or problem)


def _explanation(asked: Asked, message: str) -> str:
    """Quote an admission check, which speaks to people; about Secrets not even that."""
    if asked.resource.kind == "Secret" or not message:
        return ""
    return f" ({_clean(message)})"


def _clean(text: str) -> str:
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= EXPLANATION_LENGTH else plain[: EXPLANATION_LENGTH - 1] + "…"
