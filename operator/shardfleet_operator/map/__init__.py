"""The live map: what a fleet does, on a page in the browser. It reads, and changes nothing.

``Reader`` reads what shards publish, ``Painter`` makes a ``Frame`` of it (pure, as are slots, owners, history and
news), ``Feed`` does both over and over, and ``MapServer`` hands the newest frame to each page that asks for one. It
runs as a process of its own, so that no page, however many look at it, costs a shard or the operator anything.
"""
