"""Documents that say nearly the same, packed: beside the first of them, each takes about a tenth."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

# The quickest compression: it is done at every write and event. A document has some KiB, and to prepare a window of
# zlib's own size takes three times as long as all the rest. Negative: without header and checksum.
QUICKEST = 1
WINDOW, TABLES = 14, 8
_SHAPE = (QUICKEST, zlib.DEFLATED, -WINDOW, TABLES, zlib.Z_DEFAULT_STRATEGY)
LARGEST_MEASURE = 2**WINDOW


class Packing:
    """Packs documents of one sort, beside the first of them; `alone`: each by itself.

    What others are measured by stays in memory after it is gone, so a secret is packed alone.
    """

    def __init__(self, *, alone: bool = False) -> None:
        # Once there is a measure it stays: what was packed by it has to be unpacked by it.
        self._measure: bytes | None = b"" if alone else None

    def packed(self, document: dict[str, Any]) -> bytes:
        """Pack one."""
        text = orjson.dumps(document)
        if self._measure is None:
            self._measure = text[:LARGEST_MEASURE]
        packing = zlib.compressobj(*_SHAPE, self._measure) if self._measure else zlib.compressobj(*_SHAPE)
        return packing.compress(text) + packing.flush()

    def unpacked(self, packed: bytes) -> dict[str, Any]:
        """Return what was packed, a copy of one's own."""
        unpacking = zlib.decompressobj(-WINDOW, zdict=self._measure or b"")
        document: dict[str, Any] = orjson.loads(unpacking.decompress(packed))
        return document

    def weight(self) -> int:
        """Return the bytes of what the others are measured by."""
        return len(self._measure or b"")
