"""The lab's Kubernetes: certificates, kubeconfigs, the servers' command lines, and what stands in for nodes.

Which process runs when, and what happens when one dies, is the supervisor's business, not this package's.
"""
