"""Everything that reads bytes of others, given bytes of nobody; see README.md."""
