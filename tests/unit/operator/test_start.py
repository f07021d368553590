"""The operator's start: what it waits for, and what it ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from shardfleet_operator.kube import ApiError
from shardfleet_operator.operator_process import Operator, OperatorOptions
from shardfleet_shard.errors import UsageError
from shardfleet_shard.system_clock import SystemClock


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "test", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return Operator(OperatorOptions(), SystemClock())


def answering(status: int) -> Callable[..., Any]:
    async def refuse(*_: Any, **__: Any) -> list[Any]:
        raise ApiError("list shardfleets", status=status, reason="", message="storage is (re)initializing")

    return refuse


async def test_an_apiserver_that_is_not_ready_yet_is_waited_for(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for the Lease, which comes next, does so."""
    for status in (429, 500, 503):
        monkeypatch.setattr(operator.api, "list", answering(status))
        await operator._check_kind()


async def test_a_cluster_without_the_kind_ends_it_with_what_to_do(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator.api, "list", answering(404))
    with pytest.raises(UsageError, match=r"kubectl apply -f crds/shardfleets.yaml"):
        await operator._check_kind()
    monkeypatch.setattr(operator.api, "list", answering(403))
    with pytest.raises(ApiError, match="list shardfleets"):
        await operator._check_kind()
