"""Who may use what belongs to another namespace: nobody, unless its owner says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mooring.domain.resources.common import GrantedNamespaces, LabelRequirement, LabelSelector, SelectorOperator


def is_granted(
    grants: Iterable[GrantedNamespaces], *, owner: str, consumer: str, labels: Mapping[str, str] | None
) -> bool:
    """Tell whether a namespace may use something of another. Its own is always granted.

    `labels` are those of the consuming namespace, or None where Mooring may not read namespaces: a selector then grants
    nothing, because what cannot be checked is not given.
    """
    if owner == consumer:
        return True
    return any(_covers(grant, consumer, labels) for grant in grants)


def needs_labels(grants: Iterable[GrantedNamespaces]) -> bool:
    """Tell whether a grant can be judged only with the labels of namespaces."""
    return any(grant.selector is not None for grant in grants)


def _covers(grant: GrantedNamespaces, consumer: str, labels: Mapping[str, str] | None) -> bool:
    if consumer in (grant.names or ()):
        return True
    return grant.selector is not None and labels is not None and selects(grant.selector, labels)


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Match labels as Kubernetes does, but for one thing: an empty selector selects nothing."""
    exact = selector.match_labels or {}
    if not exact and not selector.match_expressions:
        return False
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case SelectorOperator.IN:
            return value in requirement.values
        case SelectorOperator.NOT_IN:
            return value not in requirement.values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None
