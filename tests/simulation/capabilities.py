"""What of the product the simulation finds; goes when all of it is there."""

from importlib.util import find_spec

ROLL_CALL = find_spec("shardfleet_shard.core.roll_call") is not None
"""Living shards stay when Redis restarts; without it all of them end and recover (decision 0006)."""
