"""With which template version a Project's Deployment is rendered: with its own, unless its pods are made anew anyway.

So a new version of Mooring, which may know a newer template, rolls nothing; it takes effect with the next rollout that
has a reason of its own. What a person did to the live object is no such reason: it is repaired with the same version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mooring.domain import names
from mooring.domain.manifests import checkout, versions
from mooring.domain.names import Kind
from mooring.domain.projects import MOORING_ANNOTATIONS, Ingredients, manifests
from mooring.domain.resources.project_status import RevisionStatus

Rendered = dict[Kind, dict[str, Any]]


def as_it_is(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any] | None) -> Rendered:
    """Render the children for a revision with the version that the live Deployment has."""
    version = None if live is None else _version(made_of, revision, live)
    return manifests(made_of, revision, version=version)


def wanted(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any] | None) -> Rendered:
    """Render the children to write: with the newest version, where that costs no pod that would have lived on."""
    newest = manifests(made_of, revision)
    if live is None:
        return newest
    version = _version(made_of, revision, live)
    if version is None:
        # A newer Mooring rendered it, and may be back. Until there is a reason to roll, it is left as it is.
        return newest if _has_reason(newest["Deployment"], live) else {**newest, "Deployment": dict(live)}
    if version == versions.newest():
        return newest
    same = manifests(made_of, revision, version=version)
    return newest if _makes_new_pods(same["Deployment"], live) else same


def as_fetched(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any] | None) -> Ingredients:
    """Return what pods are made of, with the name of the repository that they have: a rename alone makes no new ones.

    It holds where the live Deployment was rendered for this very spec, with nothing but another name at the same host.
    """
    source = made_of.source
    if live is None or source is None or source.repository_id is None:
        return made_of
    url = checkout.url_of(live["spec"]["template"]["spec"])
    if url in {None, source.url} or str(made_of.generation) != _annotations(live).get(names.GENERATION_ANNOTATION):
        return made_of
    if not str(url).startswith(source.url.removesuffix(f"{source.full_name}.git")):
        return made_of
    kept = replace(made_of, source=replace(source, url=str(url)))
    mark = _annotations(as_it_is(kept, revision, live)["Deployment"])[names.TEMPLATE_ANNOTATION]
    return kept if mark == _annotations(live).get(names.TEMPLATE_ANNOTATION) else made_of


def _version(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any]) -> int | None:
    """Return the version of a live Deployment, None where it is none of ours.

    Where it says none that is known, its other mark tells: what somebody took off or edited rolls nothing.
    """
    said = versions.written_on(live)
    if said is not None:
        return said
    mark = _annotations(live).get(names.TEMPLATE_ANNOTATION)
    for version in sorted(versions.RENDERERS):
        wish = manifests(made_of, revision, version=version)["Deployment"]
        if _annotations(wish)[names.TEMPLATE_ANNOTATION] == mark:
            return version
    return None if names.TEMPLATE_VERSION_ANNOTATION in _annotations(live) else versions.FIRST


def _makes_new_pods(wish: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether a wish has other pods than the one that was applied, whatever became of the live object since."""
    own, mark = _annotations(live), names.TEMPLATE_ANNOTATION
    if own.get(names.APPLIED_ANNOTATION) == _annotations(wish)[names.APPLIED_ANNOTATION]:
        return False
    return own.get(mark) not in {None, _annotations(wish)[mark]} or _has_other_marks(wish, live)


def _has_reason(wish: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether a person asks for something new of pods that only a newer Mooring could render as they are."""
    generation = names.GENERATION_ANNOTATION
    return _annotations(wish)[generation] != _annotations(live).get(generation) or _has_other_marks(wish, live)


def _has_other_marks(wish: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Tell whether revision, token or asked-for restart are others than those of the pods."""
    asked, found = _annotations(wish["spec"]["template"]), _annotations(live["spec"]["template"])
    return any(asked.get(name) != found.get(name) for name in MOORING_ANNOTATIONS)


def _annotations(of: Mapping[str, Any]) -> Mapping[str, str]:
    return (of.get("metadata") or {}).get("annotations") or {}
