"""The lab: a real Kubernetes control plane and a faithful GitHub on one machine, for tests, demo and benchmarks.

`Lab` is the way in for Python; `python -m lab` is the same for a shell. The product never imports this package.
"""

from lab.handle import Lab

__all__ = ["Lab"]
