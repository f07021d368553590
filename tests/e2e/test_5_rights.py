"""The operator's rights are as wide as what it did in all the tests before, and no wider. The last but the chart's."""

from __future__ import annotations

import pytest

from .release import Release
from .rights import Right, events_since, granted, is_forbidden, used
from .traces import Traces

UNSEEN = {
    # Asked of the authorizer when children that block their owner's deletion are admitted, not in a request of its own.
    Right("shardfleet.dev", "shardfleets/finalizers", "update"),
    # Asked only where a fleet went by force and something of it is still written before the watch has said so.
    Right("shardfleet.dev", "shardfleets", "get"),
}


def test_every_right_was_used_and_none_was_missed(release: Release, traces: Traces) -> None:
    log = traces.audit_log()
    if not log:
        pytest.skip("this API server keeps no log of requests; that of tests/cluster does (kind-config.yaml)")
    began = release.system.json("get", "clusterrole", "shardfleet")["metadata"]["creationTimestamp"]
    events = events_since(log, began)
    forbidden = {(event["verb"], event["requestURI"]) for event in events if is_forbidden(event)}
    assert not forbidden
    assert used(events) - granted(release) == set()
    assert granted(release) - used(events) - UNSEEN == set()
