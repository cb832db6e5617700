"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples each time, on every machine: a run is red because of a change, and a slow machine is no failure. Who
# looks for new examples runs with `--hypothesis-profile=search`.
settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None)
settings.load_profile("fixed")
