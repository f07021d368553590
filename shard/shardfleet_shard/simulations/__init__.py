"""The simulations that come with shardfleet, and how any of them is found; see docs/write-a-simulation.md."""
