"""The kinds of nodes by name: what a lab runs so that pods run, or only seem to, or do not exist at all.

And which Kubernetes it is: of an older one there is the API server alone, which the controllers of today are held to.
"""

from lab.binaries import API_SERVERS, NEWEST
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


def api_server(release: str, nodes: str) -> str:
    """The binary that is the API server of this Kubernetes, where a lab with such nodes can have it."""
    if release not in API_SERVERS:
        *others, last = API_SERVERS
        raise UsageError(f"--kubernetes {release} is unknown: choose {', '.join(others)} or {last}")
    if release != NEWEST and nodes != "none":
        raise UsageError(f"of Kubernetes {release} there is the API server alone: choose --nodes none with it")
    return API_SERVERS[release]
