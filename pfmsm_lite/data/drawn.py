"""Random numbers that a row has by its number alone: a stream of rows is split without being held."""

import zlib

import numpy as np


def drawn(rows: np.ndarray, seed: int, what: str) -> np.ndarray:
    """[R] float64 from 0 to below 1, one for each row number [R], another for another seed or `what`.

    The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) on row number and seed.
    """
    start = np.array([zlib.crc32(f"{seed} {what}".encode())], np.uint64) * np.uint64(0xD1342543DE82EF95)
    x = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
