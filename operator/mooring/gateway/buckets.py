"""Token buckets by key, in a table that never grows beyond its size. Pure: the time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Buckets:
    """One bucket for each key; where there are too many keys, the one that was not used for longest is forgotten."""

    def __init__(self, *, burst: int, a_second: float, size: int) -> None:
        self._burst = burst
        self._a_second = a_second
        self._size = size
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are known."""
        return len(self._buckets)

    def wait(self, key: Hashable, now: float) -> float:
        """Return in how many seconds there is something in the bucket again; 0 where there is."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        return max(0.0, (1 - self._left(bucket, now)) / self._a_second)

    def take(self, key: Hashable, now: float) -> float:
        """Take one out and return 0, or return in how many seconds there is one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets[key] = _Bucket(self._burst - 1, now)
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
            return 0.0
        self._buckets.move_to_end(key)
        left = self._left(bucket, now)
        if left < 1:
            return (1 - left) / self._a_second
        bucket.left, bucket.at = left - 1, now
        return 0.0

    def _left(self, bucket: _Bucket, now: float) -> float:
        return min(float(self._burst), bucket.left + (now - bucket.at) * self._a_second)


class Recent:
    """Keys that were seen lately, at most so many."""

    def __init__(self, *, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._size = size
        self._seen: OrderedDict[Hashable, float] = OrderedDict()

    def see(self, key: Hashable, now: float) -> None:
        """Remember a key."""
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)

    def has(self, key: Hashable, now: float) -> bool:
        """Tell whether a key was seen lately."""
        seen = self._seen.get(key)
        return seen is not None and now - seen <= self._seconds
