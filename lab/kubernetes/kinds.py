"""The kinds of nodes by name: what a lab runs so that pods run, or only seem to, or do not exist at all."""

from lab.errors import UsageError
from lab.kubernetes.nodes import Nodes, NoNodes, SimulatedNodes
from lab.kubernetes.real import RealNodes

KINDS: dict[str, type[Nodes]] = {"simulated": SimulatedNodes, "none": NoNodes, "real": RealNodes}


def kind(name: str) -> Nodes:
    """The kind of this name, where this machine can have it."""
    if name not in KINDS:
        *others, last = KINDS
        raise UsageError(f"--nodes {name} is unknown: choose {', '.join(others)} or {last}")
    KINDS[name].require()
    return KINDS[name]()
