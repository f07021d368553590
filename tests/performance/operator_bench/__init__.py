"""The operator under load: ``python -m tests.performance.operator_bench [--quick] [--out build/bench-operator.json]``.

A real apiserver on a real etcd, with kwok in place of nodes and kubelets, and the shipped ``shardfleet operator``. Pods
are objects without a process behind them; a driver stands in for all of them in a real Redis.
"""
