"""With which template version a Project's Deployment is rendered: with its own, unless its pods are made anew anyway.

So a new version of Mooring, which may know a newer template, rolls nothing; it takes effect with the next rollout that
has a reason of its own. What a person did to the live object is no such reason: it is repaired with the same version.

So it is with the URL that the source is fetched from: another name of the same repository rolls nothing either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mooring.domain import names
from mooring.domain.drift import differences
from mooring.domain.manifests import checkout, versions
from mooring.domain.names import Kind
from mooring.domain.projects import MOORING_ANNOTATIONS, Ingredients, SourceFacts, manifests
from mooring.domain.resources.project import Project
from mooring.domain.resources.project_status import RevisionStatus

Rendered = dict[Kind, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The children for a revision, with the version that the live Deployment has."""

    revision: RevisionStatus
    # What they were made of: of a source by the URL that running pods have it from.
    made_of: Ingredients
    # None: a newer Mooring rendered the live one, and these are the newest that we know.
    version: int | None
    children: Rendered


def as_it_is(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any] | None) -> Drawing:
    """Render the children for a revision with the version that the live Deployment has."""
    if live is None:
        return Drawing(revision, made_of, versions.newest(), manifests(made_of, revision))
    kept = _as_fetched(made_of, revision, live)
    version = _version(kept, revision, live)
    return Drawing(revision, kept, version, manifests(kept, revision, version=version))


def wanted(
    made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any] | None, drawn: Drawing | None = None
) -> Rendered:
    """Render the children to write: with the newest version, where that costs no pod that would have lived on.

    `drawn` was made of the same, maybe for another revision: then it does not count.
    """
    if drawn is None or drawn.revision != revision:
        drawn = as_it_is(made_of, revision, live)
    if drawn.version == versions.newest() and drawn.made_of is made_of:
        return drawn.children
    newest = manifests(made_of, revision)
    if live is None:
        return newest
    if drawn.version is None:
        # A newer Mooring rendered it, and may be back. Until there is a reason to roll, it is left as it is.
        return newest if _has_reason(newest["Deployment"], live) else {**newest, "Deployment": dict(live)}
    return newest if _makes_new_pods(drawn.children["Deployment"], live) else drawn.children


def as_fetched(
    source: SourceFacts | None, project: Project, generation: int, live: Mapping[str, Any] | None
) -> SourceFacts | None:
    """Return the source with the URL that running pods have it from, where that may be a former name of it.

    A person who writes another name into the spec than the one of that URL has pods made with the present one.
    """
    spec = project.spec.source
    if live is None or source is None or source.repository_id is None or spec is None or spec.github is None:
        return source
    url = checkout.url_of(live["spec"]["template"]["spec"])
    if url is None or is_elsewhere(source, live):
        return source
    said = url.removeprefix(_place(source)).removesuffix(".git").casefold() == spec.github.repository.casefold()
    is_same_spec = _annotations(live).get(names.GENERATION_ANNOTATION) == str(generation)
    return replace(source, url=url) if said or is_same_spec else source


def is_elsewhere(source: SourceFacts, live: Mapping[str, Any] | None) -> bool:
    """Tell whether running pods have a repository of another GitHub: of another host, it is another repository."""
    url = checkout.url_of(live["spec"]["template"]["spec"]) if live is not None else None
    return url is not None and source.repository_id is not None and not url.startswith(_place(source))


def _place(source: SourceFacts) -> str:
    return source.url.removesuffix(f"{source.full_name}.git")


def _as_fetched(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any]) -> Ingredients:
    """Keep the URL of running pods where nothing else differs: what somebody edited is no name of the repository."""
    source = as_fetched(made_of.source, made_of.project, made_of.generation, live)
    if source == made_of.source:
        return made_of
    kept = replace(made_of, source=source)
    drawn = manifests(kept, revision, version=_version(kept, revision, live))["Deployment"]
    mark = names.TEMPLATE_ANNOTATION
    return kept if _annotations(drawn)[mark] == _annotations(live).get(mark) else made_of


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
    if names.TEMPLATE_VERSION_ANNOTATION in _annotations(live):
        return None
    return versions.FIRST if mark is not None else _seen_in_pods(made_of, revision, live)


def _seen_in_pods(made_of: Ingredients, revision: RevisionStatus, live: Mapping[str, Any]) -> int:
    """Return the newest version whose pods are those of a Deployment without any mark; the first where none's are."""
    pods = live["spec"]["template"]
    for version in sorted(versions.RENDERERS, reverse=True):
        wish = manifests(made_of, revision, version=version)["Deployment"]
        if not differences(wish["spec"]["template"], pods):
            return version
    return versions.FIRST


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
