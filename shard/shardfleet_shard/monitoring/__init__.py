"""What an operations room sees of a process: metrics by one table, at an address that Prometheus asks.

``table.py`` says what a metric is, ``shard.py`` which ones a shard has and where their values are; the operator has its
own table beside it. Values are plain integers of whoever counts, read when somebody asks: the tick pays nothing.
"""
