"""The chart's pods, and the operator among them."""

from __future__ import annotations

from typing import Any

import pytest
from shardfleet_operator.cli.forward import INSPECTION_PORT, OPERATOR_SELECTOR

from .helm import NAMESPACE, Object, needs_helm, of_kind, pods, render
from .variants import EVERYTHING, EXTERNAL, NOTHING

pytestmark = needs_helm


def test_every_pod_is_restricted(objects: list[Object]) -> None:
    found = dict(pods(objects))
    assert found
    for where, pod in found.items():
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), where
        for volume in spec.get("volumes", ()):
            assert {"configMap", "emptyDir", "secret", "persistentVolumeClaim"} & volume.keys(), (where, volume)
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, where
            assert not any("hostPort" in port for port in container.get("ports", ())), where
            assert container["image"] == "shardfleet:0.1.0", where


def test_the_operator() -> None:
    deployment = of_kind(render(EVERYTHING), "Deployment")["shardfleet"]
    assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
    template = deployment["spec"]["template"]
    assert template["metadata"]["annotations"] == {"a": "b"}
    assert template["metadata"]["labels"].items() >= deployment["spec"]["selector"]["matchLabels"].items()
    [container] = template["spec"]["containers"]
    assert container["args"] == [
        "operator",
        "--health=0.0.0.0:8080",
        "--inspection=127.0.0.1:8081",
        "--metrics=0.0.0.0:8082",
        "--log-format=json",
        f"--lease-namespace={NAMESPACE}",
        "--namespace=play",
        "--namespace=test",
        "--map=/etc/shardfleet-map",
    ]
    assert {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"} in container["env"]
    assert template["spec"]["nodeSelector"] == {"disk": "fast"}
    assert template["spec"]["imagePullSecrets"] == [{"name": "hub"}]
    assert {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")} == {
        "/healthz",
        "/readyz",
    }


def test_the_operators_copies_are_on_a_volume_that_outlives_the_chart() -> None:
    assert not of_kind(render(), "PersistentVolumeClaim")
    found = render({"operator.copies.enabled": True, "operator.copies.interval": "5m", "operator.copies.size": "1Gi"})
    [claim] = of_kind(found, "PersistentVolumeClaim").values()
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    spec = of_kind(found, "Deployment")["shardfleet"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert {"name": "copies", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in spec["volumes"]
    assert {"name": "copies", "mountPath": "/copies"} in container["volumeMounts"]
    at = container["args"].index("--copies=/copies")
    assert container["args"][at + 1] == "--copy-interval=5m"
    without = of_kind(render({"operator.copies.enabled": True, "map.enabled": False}), "Deployment")["shardfleet"]
    assert [one["name"] for one in without["spec"]["template"]["spec"]["volumes"]] == ["copies"]


def test_the_command_finds_the_operator() -> None:
    found = dict(pods(render()))
    wanted = dict(part.split("=") for part in OPERATOR_SELECTOR.split(","))
    assert [where for where, pod in found.items() if wanted.items() <= pod["metadata"].get("labels", {}).items()] == [
        "Deployment/shardfleet"
    ]
    [container] = found["Deployment/shardfleet"]["spec"]["containers"]
    assert f"--inspection=127.0.0.1:{INSPECTION_PORT}" in container["args"]


@pytest.mark.parametrize(
    ("values", "secret"),
    [({}, "shardfleet-redis"), (EXTERNAL, "our-redis"), (NOTHING, None)],
)
def test_where_fleets_without_a_redis_go(values: dict[str, Any], secret: str | None) -> None:
    deployment = of_kind(render(values), "Deployment")["shardfleet"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    variables = {one["name"]: one for one in container["env"]}
    if secret is None:
        assert "SHARDFLEET_REDIS_URL" not in variables
    else:
        assert variables["SHARDFLEET_REDIS_URL"]["valueFrom"] == {"secretKeyRef": {"name": secret, "key": "url"}}
    assert variables["SHARDFLEET_IMAGE"]["value"] == "shardfleet:0.1.0"
