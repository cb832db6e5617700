"""Mooring: a Kubernetes operator that ties GitHub repositories to running workloads."""
