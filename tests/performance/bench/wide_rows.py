"""Simulations with wide rows, as somebody's own plugin: ``linear``, and numbers that go where the row goes.

The benchmark of costs installs this module as a package of its own; nothing here imports the tests.
"""

import numpy as np
from shardfleet_shard.simulations.linear import Linear


def _wide(extra_bytes):
    return np.dtype([*Linear.dtype.descr, ("load", "<f8", (extra_bytes // 8,))])


class Wide64(Linear):
    dtype = _wide(64)


class Wide256(Linear):
    dtype = _wide(256)


class Wide1024(Linear):
    dtype = _wide(1024)
