"""Whose an object is that has the name of one of the fleet's: server-side apply would take over any, and the fleet's
end would delete it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shardfleet_shard.errors import ShardfleetError

from . import names


class ForeignObject(ShardfleetError):
    """An object that the fleet needs to make is there, and is somebody else's; the message says what to do."""

    code = "foreign-object"


def refuse_foreign(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> None:
    """Raises ``ForeignObject`` where ``found``, as the API server has it, is not the fleet's own.

    Its own is what its object owns, and what its labels name and nobody owns: that was kept from an earlier fleet of
    this name on purpose (kubectl delete --cascade=orphan).

    Args:
        wanted: the object as it is to be applied.
    """
    if found is None:
        return
    metadata, own = found["metadata"], wanted["metadata"]
    owners = metadata.get("ownerReferences") or []
    if owners:
        is_own = any(owner["uid"] == own["ownerReferences"][0]["uid"] for owner in owners)
    else:
        labels = metadata.get("labels") or {}
        is_own = all(labels.get(key) == own["labels"][key] for key in (names.FLEET_LABEL, names.MANAGED_BY_LABEL))
    if not is_own:
        whose = f"it belongs to {owners[0]['kind']} {owners[0]['name']}" if owners else "the operator did not make it"
        raise ForeignObject(
            f"{wanted['kind']} {own['namespace']}/{own['name']} is there already, and {whose}: rename or delete it, or "
            "give the fleet another name; nothing of it was changed"
        )
