"""What a scenario may say, one module for each part of the world; importing them makes the table."""

from . import looking_in, network, redis, world
from .registry import COMMANDS

__all__ = ["COMMANDS", "looking_in", "network", "redis", "world"]
