"""The benchmark: ``python -m tests.performance.bench [--quick] [--out build/bench.json]``.

It runs the shipped command ``shardfleet local up`` on fleet files that it writes, with the embedded Valkey on a
disk, and looks at it from outside: Redis' counters, the manifests' headers, the processes' CPU time, the report.
"""
