"""A manifest's digest is that of one form, whoever writes it: another form would roll every workload."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mooring.domain.manifests.metadata import _canonical

TEXTS = st.one_of(st.text(max_size=8), st.text('\x00\x1f\x7f"\\/\b\f\n\r\té\u2028😀az09', max_size=8))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_both_writers_have_one_form(document: dict[str, Any]) -> None:
    expected = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert _canonical(document) == expected.encode("ascii")
