"""Certificates that are replaced while links are up, and while thousands of entities move over them."""

from __future__ import annotations

import time
from pathlib import Path

from .fleets import LiveFleet
from .kubectl import say, until
from .release import Release
from .traces import Traces
from .worlds import CROWD, proved, world

NOTE = "e2e.shardfleet.dev/looked-at"
RENEWED = "the certificate was renewed"
"""A shard's own words once it has read the new files, and closes its links to dial anew."""


def certificate(fleet: LiveFleet, shard: str) -> str:
    """As it is stored, base64; '' while it is away."""
    if not fleet.kubectl.exists("secret", f"{shard}-tls"):
        return ""
    return str(fleet.kubectl.json("get", "secret", f"{shard}-tls")["data"]["tls.crt"])


def wait_renewed(fleet: LiveFleet, shard: str, before: str) -> None:
    until(f"another certificate of {shard}", lambda: certificate(fleet, shard) not in ("", before), timeout_s=60)

    def has_renewed() -> bool:
        # A kubelet brings a changed Secret when it looks at the pod next, which a changed annotation makes it do now.
        fleet.kubectl("annotate", "pod", shard, f"{NOTE}={time.monotonic()}", "--overwrite")
        return RENEWED in fleet.kubectl("logs", shard)

    until(f"{shard} dials with it", has_renewed, timeout_s=150, every_s=2)


def test_renewed_certificates_cost_no_entity_a_tick(release: Release, traces: Traces, tmp_path: Path) -> None:
    """The operator makes a certificate anew when two thirds of its month are over, or when its Secret is gone."""
    with world(release, "trusted", shards=3, entities=CROWD) as fleet:
        uids = fleet.uids()
        before = {shard: certificate(fleet, shard) for shard in fleet.pods()}
        assert all(before.values())
        say("the Secrets of all shards are deleted")
        fleet.kubectl("delete", "secret", *(f"{shard}-tls" for shard in before))
        for shard, old in before.items():
            wait_renewed(fleet, shard, old)
        fleet.wait_handoffs(CROWD, timeout_s=90)
        fleet.wait_settled(3, entities=CROWD, timeout_s=60)
        assert fleet.uids() == uids
    proved(traces, fleet, tmp_path)
