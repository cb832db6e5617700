"""The Kubernetes adapter: requests with plain dicts, server-side apply, status, Events, and watches.

It knows the API server and nothing of GitHub; what is to be written is decided in `domain` and `services`.
"""
