"""The ShardFleet resource outside a cluster: the same file, the same schema, the same rules."""

from .document import FleetFileError
from .fleet import ConfigRow, FleetResource, check_update, config_rows, fleet_from_object, load_fleet, to_config

__all__ = [
    "ConfigRow",
    "FleetFileError",
    "FleetResource",
    "check_update",
    "config_rows",
    "fleet_from_object",
    "load_fleet",
    "to_config",
]
