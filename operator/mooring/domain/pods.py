"""Why the pods of a rollout do not become available, read from what their node says of them. Pure.

What a container said before it ended is a stranger's text: it is shortened, stripped of control characters, and blotted
where it looks like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from mooring.domain.manifests import checkout
from mooring.domain.redaction import BLOT, redact

Pod = Mapping[str, Any]
Clean = Callable[[str], str]

# A rollout is given so long before anybody asks after its pods; then they are asked after ever more seldom.
PATIENCE = timedelta(seconds=5)
LAST_PAUSE = timedelta(seconds=60)
# Of the last words of a container, so many lines and characters.
LINES, CHARACTERS = 3, 400
# What a node says of a whole image or container; Kubernetes bounds it, and people read the beginning.
SENTENCE = 300
# The node keeps 2048 bytes of what a container said, in whatever place that begins.
CUT_BY_THE_NODE = 1500
_BLANK = re.compile(r"\s+")
_HASH = "pod-template-hash"
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_NOT_MADE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})


def pause(looks: int) -> timedelta:
    """Return how long to wait for the next look: 5, 10, 20, 40, 60, 60, ... s."""
    doubled: int = 2 ** min(looks, 8)
    return min(PATIENCE * doubled, LAST_PAUSE)


def why(pods: Iterable[Pod], secrets: Sequence[str] = ()) -> str | None:
    """Say what is wrong with the newest pods; None where nothing is, as far as anybody can tell.

    `secrets` are values that are known to be secret here: they are blotted out whatever they look like.
    """

    def clean(text: str) -> str:
        return _clean(text, secrets)

    for pod in _newest(pods):
        found = next(_troubles(pod, clean), None)
        if found is not None:
            return f"Pod {pod['metadata']['name']}: {found}"
    return None


def _newest(pods: Iterable[Pod]) -> list[Pod]:
    """Return the pods that were made of the newest template, by name; those that are going are of no interest."""
    there = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    newest = max(there, key=_age, default=None)
    if newest is None:
        return []
    made_of = _template(newest)
    return sorted((pod for pod in there if _template(pod) == made_of), key=lambda pod: str(pod["metadata"]["name"]))


def _age(pod: Pod) -> tuple[str, bool]:
    """Return what tells newer pods from older ones. Of those of one second, the older ones serve already."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    is_ready = any(it.get("type") == "Ready" and it.get("status") == "True" for it in conditions)
    return str(pod["metadata"].get("creationTimestamp") or ""), not is_ready


def _template(pod: Pod) -> str:
    return str((pod["metadata"].get("labels") or {}).get(_HASH) or "")


def _troubles(pod: Pod, clean: Clean) -> Iterator[str]:
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason"):
        yield f"{status['reason']}: {_told(status, clean) or 'it was ended'}"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield f"no node takes it: {_told(condition, clean) or 'Unschedulable'}"
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        if (found := _trouble(container, clean)) is not None:
            yield found


def _trouble(container: Mapping[str, Any], clean: Clean) -> str | None:
    """Say what is wrong with one container: its image, how it is made, how it ended, or that it never gets ready."""
    state = container.get("state") or {}
    if (found := _kept_from_starting(container, state.get("waiting") or {}, clean)) is not None:
        return found
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if ended and ended.get("exitCode") != 0:
        return _ended(container, ended, clean)
    if container.get("restartCount") and ended:
        return f"{_named(container)} ended by itself and was started again; a workload has to go on."
    if "running" in state and container.get("started") is False:
        return f"{_named(container)} runs, and its startup probe does not succeed yet"
    if "running" in state and container.get("ready") is False:
        return f"{_named(container)} runs, and its readiness probe does not succeed yet"
    return None


def _kept_from_starting(container: Mapping[str, Any], waiting: Mapping[str, Any], clean: Clean) -> str | None:
    reason, told = waiting.get("reason"), _told(waiting, clean)
    after = f": {told}" if told else ""
    if reason in _NO_IMAGE:
        return f"the image {container.get('image')} cannot be had ({reason}{after})"
    if reason in _NOT_MADE:
        return f"{_named(container)} cannot be started ({reason}{after})"
    return None


def _ended(container: Mapping[str, Any], ended: Mapping[str, Any], clean: Clean) -> str:
    how = f"exit code {ended.get('exitCode')}"
    if ended.get("reason") not in {None, "Error"}:
        how = f"{ended['reason']}, {how}"
    words = _last_words(str(ended.get("message") or ""), clean)
    said = f": {words}" if words else "; it left no last words"
    return f"{_named(container)} failed ({how}){said}"


def _named(container: Mapping[str, Any]) -> str:
    return "the checkout" if container.get("name") == checkout.CONTAINER else f"container {container.get('name')}"


def _told(entry: Mapping[str, Any], clean: Clean) -> str:
    return clean(str(entry.get("message") or "").strip())[:SENTENCE]


def _last_words(message: str, clean: Clean) -> str:
    if len(message) >= CUT_BY_THE_NODE:
        # It may begin within a secret, which nobody can know by its end.
        message = "".join(_BLANK.split(message, maxsplit=1)[1:])
    lines = [clean(line).strip() for line in message.splitlines() if line.strip()]
    return " | ".join(lines[-LINES:])[-CHARACTERS:]


def _clean(text: str, secrets: Sequence[str]) -> str:
    """Return a text that may be shown: without secrets, and without characters that a terminal acts on."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, BLOT)
    return redact("".join(character if character.isprintable() else " " for character in text))
