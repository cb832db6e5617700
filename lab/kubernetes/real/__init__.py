"""A real node on this machine: containerd, kubelet and kube-proxy in namespaces of their own, which end with the lab."""

from lab.kubernetes.real.nodes import RealNodes

__all__ = ["RealNodes"]
