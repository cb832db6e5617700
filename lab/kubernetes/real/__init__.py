"""A real node on this machine: containerd, kubelet and kube-proxy in namespaces that end with the lab."""

from lab.kubernetes.real.nodes import RealNodes

__all__ = ["RealNodes"]
