"""The command ``shardfleet``. ``main`` is the door; nothing heavier than the standard library is imported by it."""
