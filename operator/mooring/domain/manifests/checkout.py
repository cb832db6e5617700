"""The init container that puts the source into the workspace, and the volumes that it needs.

It runs Mooring's own image on what a stranger may have written, so it gets nothing of the workload: no variable, no
account, no volume but the workspace. Its credential is a file, because variables and arguments are easily shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooring.domain import names
from mooring.domain.resources.workload import WorkloadSpec

CONTAINER = "checkout"
WORKSPACE_VOLUME = "mooring-workspace"
SCRATCH_VOLUME = "mooring-checkout-tmp"
CREDENTIAL_VOLUME = "mooring-checkout-credential"
DESTINATION = "/workspace"
SCRATCH = "/tmp"  # noqa: S108 - a volume of its own in a container of its own
CREDENTIAL_FOLDER = "/run/mooring/credential"
AUTHORITIES_VOLUME = "mooring-checkout-authorities"
AUTHORITIES_FOLDER = "/run/mooring/authorities"
CREDENTIAL_MODE = 0o440
"""Readable by the pod's group, which is how a process that is not root gets at the file."""
DEFAULT_ID = 65532
"""User and group where the spec names none: numbers, because a node cannot tell that a named user is not root."""
SCRATCH_LIMIT = "256Mi"
"""Git's own temporary files; packs and objects lie in the workspace."""
_URL = "--url="
RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
"""An init container's request is not added to the workload's: the larger of the two counts. Unpacking a large
repository takes some hundred MiB; the limit keeps a hostile one from taking the node's memory."""


@dataclass(frozen=True, slots=True)
class CheckoutSource:
    """What is checked out, by which image, and the Secret (key `token`) that it is fetched with, if any.

    Another key of it, `ca.crt`, is whom to trust beside the system's authorities; `authorities` are these where there
    is no Secret.
    """

    url: str
    sha: str
    image: str
    path: str | None = None
    submodules: bool = False
    lfs: bool = False
    credential_secret: str | None = None
    authorities: str | None = None
    large_file_hosts: tuple[str, ...] = ()


def container(source: CheckoutSource, workload: WorkloadSpec) -> dict[str, Any]:
    """The init container. It has the workload's user, where the spec names one, so that the files are its own.

    The volume's folder is the kubelet's all the same, so git in the workload has to be told to trust it.
    """
    mounts: list[dict[str, Any]] = [
        {"name": WORKSPACE_VOLUME, "mountPath": DESTINATION},
        {"name": SCRATCH_VOLUME, "mountPath": SCRATCH},
    ]
    if source.credential_secret is not None:
        mounts.append({"name": CREDENTIAL_VOLUME, "mountPath": CREDENTIAL_FOLDER, "readOnly": True})
    return {
        "name": CONTAINER,
        "image": source.image,
        "args": _arguments(source),
        "env": [{"name": "HOME", "value": SCRATCH}],
        "resources": {kind: dict(amounts) for kind, amounts in RESOURCES.items()},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsUser": DEFAULT_ID if workload.run_as_user is None else workload.run_as_user,
            "runAsGroup": DEFAULT_ID if workload.run_as_group is None else workload.run_as_group,
        },
        "volumeMounts": mounts,
    }


def volumes(source: CheckoutSource) -> list[dict[str, Any]]:
    """The workspace, which the workload mounts too, and what the checkout alone mounts."""
    result: list[dict[str, Any]] = [
        {"name": WORKSPACE_VOLUME, "emptyDir": {}},
        {"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": SCRATCH_LIMIT}},
    ]
    if source.credential_secret is not None:
        key = names.EFFECTIVE_TOKEN_KEY
        secret = {**_of(source.credential_secret), "items": [{"key": key, "path": key}]}
        result.append({"name": CREDENTIAL_VOLUME, "secret": secret})
    return result


def add_authorities(template: dict[str, Any], source: CheckoutSource) -> None:
    """Show the checkout of a pod template whom to trust.

    Where there is a Secret, the template is the same whether there are any, and whoever they are: another authority
    rolls nothing. Without one they stand in an annotation, since certificates are no secret.
    """
    key = names.AUTHORITIES_KEY
    if source.credential_secret is not None:
        items = [{"key": key, "path": key}]
        found: dict[str, Any] = {"secret": {**_of(source.credential_secret), "items": items, "optional": True}}
    elif source.authorities is not None:
        template["metadata"].setdefault("annotations", {})[names.AUTHORITIES_ANNOTATION] = source.authorities
        field = {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{names.AUTHORITIES_ANNOTATION}']"}
        found = {"downwardAPI": {"defaultMode": CREDENTIAL_MODE, "items": [{"path": key, "fieldRef": field}]}}
    else:
        return
    template["spec"]["volumes"].append({"name": AUTHORITIES_VOLUME, **found})
    for container in filter(_is_ours, template["spec"]["initContainers"]):
        mount = {"name": AUTHORITIES_VOLUME, "mountPath": AUTHORITIES_FOLDER, "readOnly": True}
        container["volumeMounts"].append(mount)
        container["args"].append(f"--ca-file={AUTHORITIES_FOLDER}/{key}")


def shows_authorities(pod: Mapping[str, Any], secret: str) -> bool:
    """Tell whether the checkout of a pod's spec looks for authorities in this Secret."""
    volumes = [
        volume.get("secret") or {} for volume in pod.get("volumes") or () if volume["name"] == AUTHORITIES_VOLUME
    ]
    return any(volume.get("secretName") == secret for volume in volumes)


def add_large_file_hosts(template: dict[str, Any], source: CheckoutSource) -> None:
    """Tell the checkout where large files may come from beside the repository's own host."""
    for container in filter(_is_ours, template["spec"]["initContainers"]):
        container["args"] += [f"--lfs-store={host}" for host in source.large_file_hosts]


def _of(secret: str) -> dict[str, Any]:
    return {"secretName": secret, "defaultMode": CREDENTIAL_MODE}


def url_of(pod: Mapping[str, Any]) -> str | None:
    """Return the URL that the checkout of a running pod's spec fetches, if it has one."""
    arguments = [container.get("args") or () for container in pod.get("initContainers") or () if _is_ours(container)]
    found = [text.removeprefix(_URL) for text in (arguments[0] if arguments else ()) if text.startswith(_URL)]
    return found[0].replace("$$", "$") if found else None


def _is_ours(container: Mapping[str, Any]) -> bool:
    return bool(container["name"] == CONTAINER)


def credential_of(pod: Mapping[str, Any], url: str) -> str | None:
    """Return the Secret that the checkout of a running pod's spec fetches this very URL with, if any."""
    fetches = any(
        _is_ours(container)
        and f"{_URL}{_verbatim(url)}" in (container.get("args") or ())
        and any(mount["name"] == CREDENTIAL_VOLUME for mount in container.get("volumeMounts") or ())
        for container in pod.get("initContainers") or ()
    )
    named = [volume.get("secret") or {} for volume in pod.get("volumes") or () if volume["name"] == CREDENTIAL_VOLUME]
    return named[0].get("secretName") if fetches and named else None


def _arguments(source: CheckoutSource) -> list[str]:
    options = [("url", source.url), ("revision", source.sha), ("destination", DESTINATION)]
    if source.path is not None:
        options.append(("path", source.path))
    if source.credential_secret is not None:
        options.append(("credential-file", f"{CREDENTIAL_FOLDER}/{names.EFFECTIVE_TOKEN_KEY}"))
    flags = [f"--{flag}" for flag, wanted in (("submodules", source.submodules), ("lfs", source.lfs)) if wanted]
    # One item for name and value: a value that begins with '-' can then never be taken for an option.
    return ["checkout", *(f"--{option}={_verbatim(value)}" for option, value in options), *flags]


def _verbatim(value: str) -> str:
    """Kubernetes replaces $(NAME) in arguments; a doubled $ stands for itself. A tenant's text is never evaluated."""
    return value.replace("$", "$$")
