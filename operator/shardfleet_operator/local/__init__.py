"""One-machine mode: a Redis of its own, a process a shard, the plan of the operator, and a report at the end."""
