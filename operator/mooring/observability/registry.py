"""The registry of a process: what every one of ours tells of itself, beside what it counts.

It is one of its own, since the library's process-wide one would also carry other people's.
"""

from prometheus_client import CollectorRegistry, Gauge, GCCollector, PlatformCollector, ProcessCollector


def new_registry(version: str) -> CollectorRegistry:
    """Return a registry with the usual metrics of a Python process, and the version of this one."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    build = Gauge("mooring_build_info", "Always 1; the version is in the label.", ["version"], registry=registry)
    build.labels(version=version).set(1)
    return registry
