"""Random numbers that are the same on every machine and for every version of NumPy."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

__all__ = ["uniform"]


def uniform(text: str, count: int) -> npt.NDArray[np.float64]:
    """Numbers (count,), uniform in [0, 1), that depend on `text` alone.

    Raw 64-bit words of PCG64 rather than `numpy.random.Generator`: NumPy promises the former's
    stream for all versions, and not the latter's.
    """
    digest = hashlib.sha256(text.encode()).digest()
    bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big")))
    words = bits.random_raw(count)
    result: npt.NDArray[np.float64] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return result
