"""Every bound and rule of the CRD, put to a real API server."""

from __future__ import annotations

import copy
import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ..unit.resource.cases import ALLOWED, REFUSALS, Refusal, fleet
from .kubectl import Tools, until
from .release import OPERATOR_LABELS, WORLDS, Release

PATH = f"/apis/shardfleet.dev/v1alpha1/namespaces/{WORLDS}/shardfleets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API server through ``kubectl proxy``: one request a case, without a program for each."""

    port: int

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def api(release: Release, tools: Tools) -> Iterator[Api]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = subprocess.Popen([tools.kubectl, "proxy", f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        api = Api(port=port)
        until("kubectl proxy", lambda: _answers(api), timeout_s=30)
        yield api
    finally:
        proxy.terminate()
        proxy.wait(10)


def _answers(api: Api) -> bool:
    try:
        return api.call("GET", PATH)[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def stopped(release: Release) -> Iterator[None]:
    """Nobody acts on the fleets of these tests."""
    release.system("scale", "deployment/shardfleet", "--replicas=0")
    until("no operator", lambda: not release.system.items("pods", "-l", OPERATOR_LABELS), timeout_s=90)
    yield
    release.system("scale", "deployment/shardfleet", "--replicas=1")
    until("an operator", release.operator_pod, timeout_s=90)


def change(api: Api, old: dict[str, Any], new: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A fleet created as ``old``, then replaced by ``new``; it is gone when this returns."""
    created, made = api.call("POST", PATH, old)
    assert created == 201, made
    path = f"{PATH}/{made['metadata']['name']}"
    try:
        wanted = copy.deepcopy(new)
        wanted["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
        return api.call("PUT", f"{path}?dryRun=All&fieldValidation=Strict", wanted)
    finally:
        assert api.call("DELETE", path)[0] == 200


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_the_api_server_refuses(api: Api, stopped: None, case: Refusal) -> None:
    if case.old is None:
        status, said = api.call("POST", f"{PATH}?dryRun=All&fieldValidation=Strict", fleet(case.set))
    else:
        status, said = change(api, fleet(case.old), fleet(case.set))
    assert status in (400, 422), said
    causes = (said.get("details") or {}).get("causes") or []
    fields = {cause.get("field", "") for cause in causes}
    wanted = {case.field, *case.and_also, case.field.partition("[")[0]}
    assert fields & wanted or any(field in said["message"] for field in wanted), said
    if case.rule:
        # The rule's own message, which the API server hands on as the CRD has it, its line ends made spaces.
        assert case.message in re.sub(r"\s+", " ", said["message"]), said


@pytest.mark.parametrize(("values", "old"), ALLOWED, ids=lambda values: str(values)[:60])
def test_the_api_server_takes(api: Api, stopped: None, values: dict[str, Any], old: dict[str, Any] | None) -> None:
    if old is None:
        status, said = api.call("POST", f"{PATH}?dryRun=All&fieldValidation=Strict", fleet(values))
    else:
        status, said = change(api, fleet(old), fleet(values))
    assert status in (200, 201), said
