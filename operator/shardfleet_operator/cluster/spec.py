"""A ShardFleet object, read into what the worker needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shardfleet_shard.config import FleetConfig
from shardfleet_shard.environment import HANDOFF_DELAY_VARIABLE

from ..resource import fleet_from_object, to_config
from . import names


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """As far as it is the operator's to go by.

    Attributes:
        redis_secret, redis_key: '' where the spec names none.
        own_map: whether the fleet has a live map of its own.
    """

    config: FleetConfig
    image: str
    template: Any
    trace_claim: str
    redis_secret: str
    redis_key: str
    max_surge: int
    own_map: bool


def read_spec(body: Mapping[str, Any], environ: Mapping[str, str]) -> FleetSpec:
    """Reads one object.

    Args:
        environ: the operator's environment, for the handoff delay; the pod template's goes before it.
    Raises:
        SpecError: a field that the API server let pass.
    """
    plain = {name: body[name] for name in ("apiVersion", "kind", "spec") if name in body}
    metadata = body["metadata"]
    plain["metadata"] = {"name": metadata["name"], "namespace": metadata["namespace"]}
    resource = fleet_from_object(plain)
    spec = resource.spec
    delay = _delay_of(spec.get("template"), environ)
    config = to_config(resource, {HANDOFF_DELAY_VARIABLE: delay} if delay else {})
    reference = (spec.get("redis") or {}).get("urlSecretRef") or {}
    return FleetSpec(
        config=replace(config, namespace=resource.namespace),
        image=spec.get("image") or "",
        template=spec.get("template") or {},
        trace_claim=(spec.get("trace") or {}).get("claimName") or "",
        redis_secret=reference.get("name") or "",
        redis_key=reference.get("key") or "",
        max_surge=int((spec.get("updateStrategy") or {}).get("maxSurge") or 1),
        own_map=spec["map"] == "Enabled",
    )


def _delay_of(template: Any, environ: Mapping[str, str]) -> str:
    """The variable as the shards' container has it, else as the operator has it; '' where nobody does."""
    try:
        for container in template["spec"]["containers"]:
            for variable in container.get("env") or ():
                if container["name"] == names.CONTAINER and variable["name"] == HANDOFF_DELAY_VARIABLE:
                    return str(variable["value"])
    except (KeyError, TypeError, AttributeError):
        pass  # a template of any other shape is judged where it is used
    return environ.get(HANDOFF_DELAY_VARIABLE, "")
