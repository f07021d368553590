"""What goes over the wire, before it is packed; how large what goes in one piece may be."""

from __future__ import annotations

Argument = bytes | str | int
Command = tuple[Argument, ...]

STAGE_TTL_MS = 60_000
"""Chunks that no closing script came for go by themselves."""
INLINE_LIMIT_BYTES = 256_000
"""A manifest up to this size travels in the closing script itself: one command, and one fsync."""
