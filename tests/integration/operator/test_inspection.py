"""``kubectl shardfleet`` on a fleet that lives: real shards, a real Valkey, the operator's inspection port, and a
kubectl that forwards to it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from shardfleet_operator.cli import kubectl as command
from shardfleet_operator.cluster.fleets import Fleets
from shardfleet_operator.cluster.secrets import ASKER
from shardfleet_operator.cluster.settings import OperatorSettings
from shardfleet_operator.inspection import MAX_IDS, MAX_STREAMS, FleetSight, Inspection, NotNow
from shardfleet_operator.operator_process import Operator, OperatorOptions
from shardfleet_operator.serving import served
from shardfleet_shard.errors import UsageError

from tests.patience import PATIENCE_S

from ..servers import RedisServer, free_port
from .bench import CLOCK, Bench
from .fake_cluster import FakeCluster, fleet

KUBECTL = """#!/bin/sh
# Answers as a cluster would; what it was asked is in calls.
here={here}
echo "$@" >> $here/calls
while [ "${{1#--}}" != "$1" ]; do shift; done
case "$1 $2" in
  "config view") printf play ;;
  "get shardfleets.shardfleet.dev") cat $here/fleets ;;
  "get pods") cat $here/refusal >&2 && exit 1; cat $here/pods.json ;;
  "port-forward -n") cat $here/no-forward >&2 2>/dev/null && exit 1
    echo $$ > $here/forward.pid
    case "$*" in *:8090) port=map-port ;; *) port=port ;; esac
    echo "Forwarding from 127.0.0.1:$(cat $here/$port) -> 8081"
    yes "Handling connection for 8081" | head -c 200000; : > $here/heard; exec sleep 300 ;;
  "logs -n") for last; do :; done; echo "$4 said this"; if [ "$last" = --follow ]; then exec sleep 300; fi ;;
esac
"""


def pod(name: str, *, namespace: str = "system", ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-of-{name}"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"state": {"running": {}}}],
        },
    }


class Kubectl:
    """The command, with a kubectl of its own on the PATH."""

    def __init__(self, folder: Path, port: str) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "kubectl").write_text(KUBECTL.format(here=shlex.quote(str(folder))))
        (folder / "kubectl").chmod(0o755)
        (folder / "port").write_text(port)
        (folder / "fleets").write_text("shardfleet.shardfleet.dev/arena\n")
        self.pods(pod("operator-0"))

    def pods(self, *pods: dict[str, Any]) -> None:
        (self.folder / "pods.json").write_text(json.dumps({"items": pods}))

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    async def start(self, *arguments: str, path: str | None = None) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        program = "import sys; from shardfleet_operator.cli.kubectl import main; sys.exit(main())"
        environ = {**os.environ, "PATH": path if path is not None else f"{self.folder}:/usr/bin:/bin"}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *arguments), stdout=pipe, stderr=pipe, env=environ
        )

    async def run(self, *arguments: str, path: str | None = None) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        process = await self.start(*arguments, path=path)
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()

    async def until(self, true: Callable[[str], bool], *arguments: str) -> str:
        """Asks until ``true`` of what is printed: a busy machine's fleet is not well at each moment."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                code, output, errors = await self.run(*arguments)
                assert (code, errors) == (0, "")
                if true(output):
                    return output


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    with RedisServer(tcp=True) as server:
        bench = Bench(tmp_path, server)
        try:
            bench.cluster.put(fleet())
            await bench.until(bench.is_available)
            # The seed comes a moment after that.
            await bench.until(lambda: (bench.fleet()["status"].get("entities") or {}).get("owned") == 50)
            yield bench
        finally:
            await bench.fleets.close()
            assert bench.cluster.kubelet is not None
            await bench.cluster.kubelet.close()


@pytest.fixture
async def url(bench: Bench) -> AsyncIterator[str]:
    async with served("--inspection", "127.0.0.1:0", Inspection(bench.fleets.look).application()) as address:
        yield f"http://{address}"


@pytest.fixture
def kubectl(tmp_path: Path, url: str) -> Kubectl:
    return Kubectl(tmp_path / "bin", url.rpartition(":")[2])


async def get(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.json()


def is_well(status: dict[str, Any]) -> bool:
    shards = status["shards"]
    return (
        [(line["shard"], line["state"]) for line in shards] == [("arena-0", "active"), ("arena-1", "active")]
        # Manifests are not of one moment: an entity in the middle of its switch stands in neither, or in both.
        and abs(sum(line["entities"] for line in shards) - 50) <= 5
    )


async def test_the_commands_on_a_living_fleet(bench: Bench, kubectl: Kubectl) -> None:
    found = json.loads(await kubectl.until(lambda output: is_well(json.loads(output)), "status", "--json"))
    assert (found["namespace"], found["fleet"], found["phase"], found["entities"]) == ("play", "arena", "run", 50)
    assert {one["type"] for one in found["conditions"]} >= {"Available", "Degraded", "TransfersHealthy"}

    # What is as it should be is not worth a line.
    output = await kubectl.until(lambda output: "Available" not in output, "status", "arena", "-n", "play")
    assert output.startswith("play/arena: ") and "2/2 shards" in output and "\narena-1 " in output

    # Its owner is asked, under TLS.
    output = await kubectl.until(lambda output: json.loads(output)["since_exact"] is not None, "entity", "17", "--json")
    found = json.loads(output)
    assert found["alive"] and found["owner"] in ("arena-0", "arena-1") and len(found["position"]) == 2
    await kubectl.until(lambda output: output.startswith("entity 17  owned by arena-"), "entity", "17")
    assert await kubectl.run("entity", "4711") == (
        2,
        "",
        "kubectl shardfleet: error: entity 4711: no shard holds it; "
        "it was never spawned, or left the world a while ago\n",
    )

    output = await kubectl.until(
        lambda output: all(row["verdict"] is None for row in json.loads(output)["transfers"]), "transfers", "--json"
    )
    assert json.loads(output)["fleet"] == "arena"

    def both_go_on(output: str) -> bool:
        rows = [json.loads(line) for line in output.splitlines()]
        assert {row["entity"] for row in rows} <= {3, 4}
        return len({row["entity"] for row in rows}) == 2 and len({row["tick"] for row in rows}) > 1

    watch = ("watch", "--interval", "0s", "--ids")
    await kubectl.until(both_go_on, *watch, "3,4", "--duration", "1500ms", "--json")
    output = await kubectl.until(lambda output: len(output.splitlines()) > 1, *watch, "3", "--duration", "1s")
    assert output.startswith("TICK ")


async def test_the_forward_ends_with_the_command(kubectl: Kubectl) -> None:
    assert (await kubectl.run("transfers", "--as", "eve", "--context", "c"))[0] == 0
    pid = int((kubectl.folder / "forward.pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert all(call.startswith("--context=c --as=eve ") for call in kubectl.calls)
    assert kubectl.calls[-1].endswith("port-forward -n system --address=127.0.0.1 operator-0 :8081")


async def test_ctrl_c_ends_a_watch_and_its_forward(kubectl: Kubectl) -> None:
    process = await kubectl.start("watch", "--json")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert json.loads(await process.stdout.readline())["entity"] >= 0
        while not (kubectl.folder / "heard").exists():  # noqa: ASYNC110 - kubectl's many lines are read all the time
            await asyncio.sleep(0.05)
    process.send_signal(2)
    async with asyncio.timeout(PATIENCE_S):
        _, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int((kubectl.folder / "forward.pid").read_text()), 0)


async def test_what_can_be_wrong(bench: Bench, kubectl: Kubectl, tmp_path: Path) -> None:
    async def error(*arguments: str, path: str | None = None) -> str:
        code, output, errors = await kubectl.run(*arguments, path=path)
        assert (code, output) == (2, "") and errors.count("\n") == 1
        return errors.removeprefix("kubectl shardfleet: error: ").strip()

    assert await error("status", "x") == "no ShardFleet 'x' in namespace 'play': 'kubectl get sf -A' lists them"
    (tmp_path / "empty").mkdir()
    assert "kubectl is not on the PATH" in await error("status", path=str(tmp_path / "empty"))
    (kubectl.folder / "fleets").write_text("s/arena\ns/brook\n")
    assert "namespace play has 2 fleets (arena, brook): name one" in await error("status")
    kubectl.pods(pod("operator-0", ready=False))
    assert "the operator in this cluster is not ready" in await error("status", "arena")
    kubectl.pods()
    assert "was not found: install the chart" in await error("status", "arena")
    kubectl.pods(pod("operator-0"), pod("operator-1", namespace="other"))
    assert "operators in namespaces other, system: choose one" in await error("status", "arena")
    (kubectl.folder / "refusal").write_text("Error from server (Forbidden): pods is forbidden")
    assert "pods is forbidden; if you may only look into" in await error("status", "arena")
    (kubectl.folder / "refusal").unlink()
    kubectl.pods(pod("operator-0"))
    (kubectl.folder / "port").write_text("9")  # nobody listens there
    assert "inspection port" in await error("status", "arena")
    (kubectl.folder / "port").unlink()
    (kubectl.folder / "no-forward").write_text("error: pod operator-0 does not have a host assigned")
    assert (await error("status", "arena")).endswith(
        "kubectl port-forward: error: pod operator-0 does not have a host assigned"
    )


async def test_logs(tmp_path: Path) -> None:
    kubectl = Kubectl(tmp_path / "bin", port="9")
    kubectl.pods(pod("arena-0", namespace="play"), pod("arena-1", namespace="play"))
    assert await kubectl.run("logs", "--tail", "7") == (
        0,
        "arena-0 | arena-0 said this\narena-1 | arena-1 said this\n",
        "",
    )
    assert "logs -n play arena-1 -c shard --tail=7" in kubectl.calls
    assert "get pods -n play -l shardfleet.dev/fleet=arena -o json" in kubectl.calls

    kubectl.pods(pod("arena-0", namespace="play"))
    process = await kubectl.start("logs", "arena", "-f")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await process.stdout.readline() == b"arena-0 | arena-0 said this\n"
        kubectl.pods(pod("arena-0", namespace="play"), pod("arena-7", namespace="play"))
        assert await process.stdout.readline() == b"arena-7 | arena-7 said this\n", "a pod that came later"
        process.send_signal(2)
        await process.communicate()
    assert process.returncode == 0


# --- the port ----------------------------------------------------------------------------------------------------


async def test_the_port_refuses_what_it_cannot_do(bench: Bench, url: str) -> None:
    fleet_url = f"{url}/fleets/play/arena"
    assert (await get(f"{fleet_url}/entities/17x"))[0] == 400
    assert (await get(f"{fleet_url}/rows?ids={','.join([str(2**64 - 1)] * MAX_IDS)}&interval_us=x"))[0] == 400
    assert (await get(f"{fleet_url}/rows?ids={','.join(['1'] * (MAX_IDS + 1))}"))[0] == 400
    assert (await get(f"{url}/fleets/other/arena/status"))[0] == 404
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            async with session.request(method, f"{fleet_url}/status") as response:
                assert response.status == 405, "it is read-only"


async def test_the_command_asks_for_no_more_than_the_port_takes(tmp_path: Path) -> None:
    assert command.MAX_IDS == MAX_IDS
    ids = ",".join(["1"] * (MAX_IDS + 1))
    code, _, errors = await Kubectl(tmp_path / "bin", port="9").run("watch", "--ids", ids)
    assert code == 2 and "at most 256" in errors


async def test_streams_are_counted_and_end_with_their_reader(bench: Bench, url: str) -> None:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        readers = [await session.get(f"{url}/fleets/play/arena/rows?ids=1") for _ in range(MAX_STREAMS)]
        assert all(reader.status == 200 for reader in readers)
        status, answer = await get(f"{url}/fleets/play/arena/rows")
        assert status == 503 and "streams of rows are open" in answer["error"]
        for reader in readers:
            reader.close()
        async with asyncio.timeout(PATIENCE_S):
            while (again := await session.get(f"{url}/fleets/play/arena/rows?ids=1")).status == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        again.close()


async def test_while_nothing_can_be_said() -> None:
    def look(namespace: str, name: str) -> FleetSight:
        raise NotNow("this operator waits")

    async with served("--inspection", "127.0.0.1:0", Inspection(look).application()) as address:
        answer = await get(f"http://{address}/fleets/play/arena/status")
    assert answer == (503, {"error": "this operator waits", "code": "not-now"})


async def test_a_fleet_whose_redis_was_not_reached_yet(tmp_path: Path) -> None:
    cluster = FakeCluster()
    fleets = Fleets(cluster, CLOCK, OperatorSettings(image="shardfleet:test"), on_failure=pytest.fail)
    try:
        fleets.take_fleet(cluster.put(fleet()), gone=False)
        async with served("--inspection", "127.0.0.1:0", Inspection(fleets.look).application()) as address:
            status, answer = await get(f"http://{address}/fleets/play/arena/status")
    finally:
        await fleets.close()
    assert (status, answer["code"]) == (503, "not-now") and "its conditions say why" in answer["error"]


async def test_the_operator_serves_the_port_and_speaks_only_while_it_acts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "system"}}],
        "clusters": [{"name": "test", "cluster": {"server": "http://127.0.0.1:9"}}],  # away
        "users": [{"name": "test", "user": {"token": "t"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    address = f"127.0.0.1:{free_port()}"
    operator = Operator(OperatorOptions(inspection=address), CLOCK)
    running = asyncio.create_task(operator.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    status, answer = await get(f"http://{address}/fleets/play/arena/status")
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
    finally:
        operator.stop()
        assert await running == 0
    assert (status, answer["error"]) == (503, "this operator waits for its Lease: ask the one that has it")


@pytest.mark.parametrize("address", ["8081x", "127.0.0.1", "127.0.0.1:70000", "192.0.2.1:1"])
async def test_an_address_that_cannot_be_served(address: str) -> None:
    with pytest.raises(UsageError, match="--inspection"):
        async with served("--inspection", address, Inspection(lambda *_: pytest.fail("asked")).application()):
            pass


def test_the_askers_name_is_no_shards() -> None:
    assert "." in ASKER, "a shard is called by its fleet's name, which has no dot, and a number"
