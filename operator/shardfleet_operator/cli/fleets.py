"""``shardfleet fleets``: the ShardFleets of a cluster; also what a chart asks before it takes the operator away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .exits import EXIT_BROKEN
from .options import AsJson

if TYPE_CHECKING:
    from ..kube import KubeObject
    from ..kube.http_api import HttpKubeApi

DELETE_TIMEOUT_S = 240
PAUSE_S = 1.0


def register(app: typer.Typer) -> None:
    app.command("fleets")(fleets)


def fleets(
    namespace: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Only those of this namespace; may be given again."),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Exit with 1 where there is any.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete them all, entities included, and wait until they are gone.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """List the ShardFleets of a cluster.

    Logs in as KUBECONFIG says, in a pod by its ServiceAccount.

    \b
    Example:
      shardfleet fleets
      shardfleet fleets --none
    """
    import asyncio
    import sys

    from ..kube.http_api import HttpKubeApi
    from ..operator_process import log_in
    from .output import print_json, table

    async def run() -> list[KubeObject]:
        api = HttpKubeApi(log_in)
        try:
            return await (_delete_all(api, namespace) if delete else _all(api, namespace))
        finally:
            await api.close()

    found = asyncio.run(run())
    if as_json:
        print_json({"fleets": [_row(body) for body in found]})
    elif found or not (none or delete):
        rows = [tuple(str(value) for value in _row(body).values()) for body in found]
        print(table(("NAMESPACE", "NAME", "SHARDS", "READY", "AVAILABLE"), rows))
    if found and (none or delete):
        listed = ", ".join(f"{body['metadata']['namespace']}/{body['metadata']['name']}" for body in found)
        what = f"not gone within {DELETE_TIMEOUT_S} s" if delete else "delete these ShardFleets first"
        print(f"{what}: {listed}", file=sys.stderr)
        return EXIT_BROKEN
    return 0


def _row(body: KubeObject) -> dict[str, object]:
    status = body.get("status") or {}
    available = {one["type"]: one["status"] for one in status.get("conditions") or ()}.get("Available", "Unknown")
    return {
        "namespace": body["metadata"]["namespace"],
        "name": body["metadata"]["name"],
        "shards": body["spec"].get("replicas", 0),
        "ready": status.get("readyReplicas", 0),
        "available": available,
    }


async def _all(api: HttpKubeApi, namespaces: list[str] | None) -> list[KubeObject]:
    from ..kube import SHARD_FLEETS

    found = [await api.list(SHARD_FLEETS, namespace) for namespace in namespaces or [""]]
    return [body for bodies in found for body in bodies]


async def _delete_all(api: HttpKubeApi, namespaces: list[str] | None) -> list[KubeObject]:
    """What is left after ``DELETE_TIMEOUT_S``."""
    import asyncio

    from ..kube import SHARD_FLEETS

    left = await _all(api, namespaces)
    for body in left:
        await api.delete(SHARD_FLEETS, body["metadata"]["namespace"], body["metadata"]["name"])
    for _ in range(int(DELETE_TIMEOUT_S / PAUSE_S)):
        left = await _all(api, namespaces)
        if not left:
            break
        await asyncio.sleep(PAUSE_S)
    return left
