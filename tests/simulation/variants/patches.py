"""What the known-wrong protocols are made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from shardfleet_shard.core.requests import Reply
from shardfleet_shard.store import memory
from shardfleet_shard.store.memory_state import State

Patch = pytest.MonkeyPatch


def handler(patch: Patch, kind: type, change: Callable[[Callable[[State, Any], Reply], State, Any], Reply]) -> None:
    """``change(script, state, request)`` runs in place of the script of ``kind``."""
    script = memory._HANDLERS[kind]
    patch.setitem(memory._HANDLERS, kind, lambda state, request: change(script, state, request))
