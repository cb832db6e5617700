"""How runs are counted: by what came of the object, not by whether an exception went through."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.errors import Stalled, Transient, Waiting
from mooring.domain.leadership import NotLeading
from mooring.domain.reasons import Reason
from mooring.observability.metrics import Metrics
from mooring.ports import Changed
from mooring.services.reconciler import Reconciler
from mooring.services.store import Key, Store, key_of
from mooring.services.work import Again
from mooring.wiring import observer
from tests.unit.objects import NOW, raw_project


class Service:
    """A kind's service that ends as it is told."""

    def __init__(self, end: Exception | None) -> None:
        self._end = end

    async def reconcile(self, key: Key) -> Again | None:
        """End."""
        if self._end is not None:
            raise self._end
        return None


@pytest.mark.parametrize(
    ("end", "leads", "loud"),
    [
        (Transient(Reason.CLUSTER_UNAVAILABLE, "m"), True, True),
        (Transient(Reason.CLUSTER_UNAVAILABLE, "m"), False, False),
        (NotLeading(), True, False),
    ],
)
async def test_what_the_end_of_a_lease_cut_off_is_not_told_of_each_object(
    end: Exception, leads: bool, loud: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The election says it once. A request that was under way may fail before its turn comes."""
    project = raw_project()
    run = Reconciler({"Project": Service(end)}, lambda *_: None, lambda: leads)
    with caplog.at_level("DEBUG"), pytest.raises(Transient):
        await run(key_of(project))
    assert [record.levelname for record in caplog.records] == ["WARNING" if loud else "DEBUG"]


@pytest.mark.parametrize(
    ("end", "stalled", "counted"),
    [
        (None, False, "ok"),
        (None, True, "stalled"),
        (Changed("moved on"), True, "changed"),
        (Stalled(Reason.INVALID_SPEC, "m"), False, "stalled"),
        (Waiting(Reason.RATE_LIMITED, "m", until=NOW + timedelta(hours=1)), False, "waiting"),
        (Transient(Reason.GITHUB_UNAVAILABLE, "m"), False, "transient"),
        (RuntimeError("a defect"), True, "defect"),
    ],
)
async def test_a_run_is_counted_by_what_came_of_it(end: Exception | None, stalled: bool, counted: str) -> None:
    store, metrics, project = Store(), Metrics(), raw_project()
    condition: dict[str, Any] = {"type": "Stalled", "status": "True" if stalled else "False"}
    store.put({**project, "status": {"conditions": [condition]}})
    run = Reconciler({"Project": Service(end)}, observer(metrics, store))
    if end is None:
        await run(key_of(project))
    else:
        with pytest.raises(type(end)):
            await run(key_of(project))
    results = {
        sample.labels["result"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "mooring_reconcile_results_total" and sample.labels["kind"] == "Project" and sample.value
    }
    assert results == {counted: 1}
