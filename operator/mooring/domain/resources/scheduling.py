"""Where a workload's pods may run, in Kubernetes' own names and types: tolerations and affinity.

All of it is typed, so that a mistake is refused at the Project and not only at the Deployment made of it.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictInt

from mooring.domain.resources.common import DnsLabel, Generation, LabelKey, LabelSelector, Model, text
from mooring.domain.resources.schema import ATOMIC, Extra, Rule

TERMS_MAX = 16
Weight = Annotated[StrictInt, Field(ge=1, le=100), Extra({"format": "int32"})]


# --- tolerations ---


class TolerationOperator(StrEnum):
    """How a toleration is compared with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that the pods put up with."""

    rules = (
        Rule(
            "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            "key is required, unless operator is Exists, which then tolerates every taint",
            lambda it: it.key is not None or it.operator is TolerationOperator.EXISTS,
        ),
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "value is refused with operator Exists",
            lambda it: it.operator is not TolerationOperator.EXISTS or not it.value,
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds needs effect NoExecute",
            lambda it: it.toleration_seconds is None or it.effect is TaintEffect.NO_EXECUTE,
        ),
    )

    key: LabelKey | None = None
    """Key of the taint. Default: any, with operator `Exists`. Example: `dedicated`."""
    operator: TolerationOperator | None = None
    """`Equal` compares the value, `Exists` does not. Default: `Equal`."""
    value: Annotated[str, text(63)] | None = None
    """Value of the taint, with operator `Equal`. Example: `batch`."""
    effect: TaintEffect | None = None
    """Effect of the taint: `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: any."""
    toleration_seconds: Generation | None = None
    """Seconds that the pod stays on a node with a `NoExecute` taint. Default: for ever."""


# --- affinity to nodes ---


class NodeSelectorOperator(StrEnum):
    """How a node's label or field is compared with the values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


_UNARY = frozenset({NodeSelectorOperator.EXISTS, NodeSelectorOperator.DOES_NOT_EXIST})
_COMPARING = frozenset({NodeSelectorOperator.GT, NodeSelectorOperator.LT})


def _values_fit(requirement: "NodeSelectorRequirement") -> bool:
    if requirement.operator in _UNARY:
        return not requirement.values
    return len(requirement.values) == 1 if requirement.operator in _COMPARING else bool(requirement.values)


class NodeSelectorRequirement(Model):
    """One condition on a node."""

    rules = (
        Rule(
            "self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0 :"
            " has(self.values) && (self.operator in ['Gt', 'Lt'] ? size(self.values) == 1 : size(self.values) > 0)",
            "values are required with In and NotIn, exactly one with Gt and Lt, none with Exists and DoesNotExist",
            _values_fit,
        ),
    )

    key: LabelKey
    """Key of the node's label, or name of its field. Example: `topology.kubernetes.io/zone`."""
    operator: NodeSelectorOperator
    """How it is compared: `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`."""
    values: Annotated[tuple[Annotated[str, text(253)], ...], Field(max_length=64), ATOMIC] = ()
    """The values to compare with. Example: `[zone-a, zone-b]`."""


Requirements = Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=TERMS_MAX), ATOMIC]


class NodeSelectorTerm(Model):
    """Conditions on a node, all of which must hold."""

    one_owner = True

    match_expressions: Requirements = ()
    """Conditions on the node's labels."""
    match_fields: Requirements = ()
    """Conditions on the node's fields; Kubernetes knows only `metadata.name`."""


class NodeSelector(Model):
    """Terms of which a node must match at least one."""

    one_owner = True

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=TERMS_MAX), ATOMIC]
    """The terms; one of them must match."""


class PreferredSchedulingTerm(Model):
    """A preference for certain nodes."""

    weight: Weight
    """How much it counts, 1 to 100."""
    preference: NodeSelectorTerm
    """The nodes that are preferred."""


class NodeAffinity(Model):
    """Which nodes the pods must or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """The pods run only on nodes that match."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], Field(max_length=TERMS_MAX), ATOMIC
    ] = ()
    """The pods run rather on nodes that match."""


# --- affinity to other pods ---

PodLabelKeys = Annotated[tuple[LabelKey, ...], Field(max_length=TERMS_MAX), ATOMIC]


class PodAffinityTerm(Model):
    """Pods to be near to, or far from."""

    label_selector: LabelSelector | None = None
    """The pods, by their labels. Default: none."""
    topology_key: LabelKey
    """Label of the node that says what near means. Example: `kubernetes.io/hostname`."""
    namespaces: Annotated[tuple[DnsLabel, ...], Field(max_length=TERMS_MAX), ATOMIC] = ()
    """Namespaces of the pods, by name. Default: this namespace."""
    namespace_selector: LabelSelector | None = None
    """Namespaces of the pods, by their labels; an empty selector means all. Default: this namespace."""
    match_label_keys: PodLabelKeys = ()
    """Labels whose values must be the same as the new pod's. Example: `[pod-template-hash]`."""
    mismatch_label_keys: PodLabelKeys = ()
    """Labels whose values must differ from the new pod's."""


class WeightedPodAffinityTerm(Model):
    """A preference for being near to, or far from, certain pods."""

    weight: Weight
    """How much it counts, 1 to 100."""
    pod_affinity_term: PodAffinityTerm
    """The pods that it is about."""


class PodAffinity(Model):
    """Which pods the workload's pods must or should be near to."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=TERMS_MAX), ATOMIC
    ] = ()
    """The pods run only near to these."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(max_length=TERMS_MAX), ATOMIC
    ] = ()
    """The pods run rather near to these."""


class PodAntiAffinity(Model):
    """Which pods the workload's pods must or should be far from."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=TERMS_MAX), ATOMIC
    ] = ()
    """The pods run only far from these."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(max_length=TERMS_MAX), ATOMIC
    ] = ()
    """The pods run rather far from these."""


class Affinity(Model):
    """Rules for where the pods run."""

    node_affinity: NodeAffinity | None = None
    """Which nodes the pods must or should run on."""
    pod_affinity: PodAffinity | None = None
    """Which pods they must or should be near to."""
    pod_anti_affinity: PodAntiAffinity | None = None
    """Which pods they must or should be far from. Example: spread the pods over nodes."""
