"""What the chart makes of its values."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
import yaml
from shardfleet_operator.cli.forward import INSPECTION_PORT, MAP_PORT, OPERATOR_SELECTOR
from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_operator.map.guard import checked_token
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.store.acl import acl_rule

from .api_server import ApiServer
from .helm import CHART, NAMESPACE, ROOT, Object, helm, needs_helm, of_kind, options, pods, render, template
from .test_chart import used

pytestmark = needs_helm

EVERYTHING: dict[str, Any] = {
    "operator.namespaces": ["play", "test"],
    "operator.nodeSelector": {"disk": "fast"},
    "operator.tolerations": [{"operator": "Exists"}],
    "operator.podAnnotations": {"a": "b"},
    "operator.logFormat": "json",
    "operator.env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "imagePullSecrets": [{"name": "hub"}],
    "fleets.deleteOnUninstall": True,
    "redis.persistence.storageClass": "fast",
    "redis.podDisruptionBudget.enabled": True,
    "metrics.serviceMonitor.enabled": True,
    "metrics.podMonitor.enabled": True,
    "metrics.prometheusRule.enabled": True,
    "metrics.dashboard.enabled": True,
}
EXTERNAL: dict[str, Any] = {"redis.enabled": False, "redis.existingSecret": "our-redis"}
NOTHING: dict[str, Any] = {"redis.enabled": False, "crds.install": False, "networkPolicy.enabled": False}
UNKEPT: dict[str, Any] = {"redis.persistence.enabled": False, "crds.keep": False}
VARIANTS = {"default": {}, "everything": EVERYTHING, "external": EXTERNAL, "nothing": NOTHING, "unkept": UNKEPT}


@pytest.fixture(params=VARIANTS, scope="module")
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return render(VARIANTS[request.param])


@pytest.mark.parametrize("variant", VARIANTS)
def test_lint(variant: str) -> None:
    result = helm("lint", "--strict", str(CHART), *options(VARIANTS[variant]))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout and "[ERROR]" not in result.stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"redis.enabld": True}, "enabld"),
        ({"replicas": 2}, "replicas"),
        ({"image.repository": ""}, "image/repository|image.repository"),
        ({"image.pullPolicy": "Sometimes"}, "pullPolicy"),
        ({"redis.persistence.size": "much"}, "size"),
        ({"crds.keep": "yes"}, "keep"),
        ({"operator.namespaces": ["a", "a"]}, "namespaces"),
        ({"metrics.podMonitor.interval": "often"}, "interval"),
        ({"metrics.enabled": True}, "enabled"),
        ({"operator.logFormat": "xml"}, "logFormat"),
        ({"operator.env": ["A=b"]}, "env"),
        ({"map.hosts": ["http://x"]}, "hosts"),
        ({"map.port": 80}, "port"),
        ({"redis.existingSecret": "Our_Redis"}, "existingSecret"),
        ({"redis.existingSecret": "our-redis"}, "redis.enabled=false"),
    ],
)
def test_values_that_are_refused(values: dict[str, Any], said: str) -> None:
    result = template(values)
    assert result.returncode != 0
    assert any(word in result.stderr for word in said.split("|")), result.stderr


# --- pods --------------------------------------------------------------------------------------------------------


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


# --- rights ------------------------------------------------------------------------------------------------------


def rights(role: Object) -> dict[tuple[str, str], set[str]]:
    """(group, resource) -> verbs."""
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_operators_rights_are_cluster_wide_or_in_its_namespaces_alone() -> None:
    wide, narrow = render(), render({"operator.namespaces": ["play", "test"]})
    assert "shardfleet" in of_kind(wide, "ClusterRole") and "shardfleet" in of_kind(wide, "ClusterRoleBinding")
    assert "shardfleet" not in of_kind(narrow, "ClusterRole")
    assert list(of_kind(narrow, "ClusterRoleBinding")) == ["shardfleet-nodes"], "nodes are of no namespace"
    roles = [one for one in narrow if one["kind"] == "Role" and one["metadata"]["name"] == "shardfleet"]
    assert [one["metadata"]["namespace"] for one in roles] == ["play", "test"]
    for role in roles:
        assert rights(role) == rights(of_kind(wide, "ClusterRole")["shardfleet"])
    subject = {"kind": "ServiceAccount", "name": "shardfleet", "namespace": NAMESPACE}
    bindings = [one for one in (*wide, *narrow) if one["kind"].endswith("RoleBinding")]
    assert len(bindings) == 7 and all(one["subjects"] == [subject] for one in bindings)


def test_what_is_granted_is_what_the_code_calls() -> None:
    found = render({"fleets.deleteOnUninstall": True})  # the hook's calls are the code's, too
    roles = of_kind(found, "ClusterRole")
    granted = {**rights(roles["shardfleet"]), **rights(roles["shardfleet-nodes"])}
    lease = of_kind(found, "Role")["shardfleet-lease"]
    assert all(
        rule.get("resourceNames") == ["shardfleet-operator"] or rule["verbs"] == ["create"] for rule in lease["rules"]
    )
    leases = {verb for rule in lease["rules"] for verb in rule["verbs"]}
    assert {**granted, ("coordination.k8s.io", "leases"): leases} == used()


def test_fleets_are_deleted_only_by_who_asked_for_it() -> None:
    fleets = ("shardfleet.dev", "shardfleets")
    for wanted in (False, True):
        found = render({"fleets.deleteOnUninstall": wanted})
        assert ("delete" in rights(of_kind(found, "ClusterRole")["shardfleet"])[fleets]) == wanted
        [container] = of_kind(found, "Job")["shardfleet-uninstall"]["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["fleets", "--delete" if wanted else "--none"]


def test_no_right_is_a_wildcard(objects: list[Object]) -> None:
    for one in objects:
        for rule in one.get("rules", ()) if one["kind"].endswith("Role") else ():
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], one["metadata"]["name"]


def test_people() -> None:
    roles = of_kind(render(), "ClusterRole")
    reading = {"get", "list", "watch"}
    fleets = {("shardfleet.dev", f"shardfleets{part}"): reading for part in ("", "/status", "/scale")}
    # kubectl shardfleet: get sf and pods, logs, and a port-forward to the operator's pod.
    pods = {("", "pods"): {"get", "list"}, ("", "pods/log"): {"get"}, ("", "pods/portforward"): {"get", "create"}}
    assert rights(roles["shardfleet-viewer"]) == {**fleets, **pods}
    assert rights(roles["shardfleet-view"]) == fleets
    aggregated = {
        name: {label.rpartition("-")[2] for label in role["metadata"]["labels"] if "aggregate-to" in label}
        for name, role in roles.items()
    }
    assert aggregated == {
        "shardfleet": set(),
        "shardfleet-nodes": set(),
        "shardfleet-viewer": set(),  # a forward is more than a look
        "shardfleet-view": {"view"},
        "shardfleet-edit": {"edit", "admin"},
    }
    assert all(
        "secrets" not in resource for name in roles if name != "shardfleet" for _, resource in rights(roles[name])
    )


# --- Redis -------------------------------------------------------------------------------------------------------


def decoded(secret: Object) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}


def test_redis() -> None:
    found = render()
    data = decoded(of_kind(found, "Secret")["shardfleet-redis"])
    password = data["password"]
    assert len(password) == 32 and password.isalnum()
    assert data["url"] == f"redis://shardfleet:{password}@shardfleet-redis.{NAMESPACE}.svc:6379/0"
    lines = set(data["valkey.conf"].splitlines())
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "user default off"} <= lines
    assert f"user shardfleet on #{hashlib.sha256(password.encode()).hexdigest()} {acl_rule()}" in lines
    assert password not in data["valkey.conf"]
    redis = of_kind(found, "StatefulSet")["shardfleet-redis"]["spec"]
    [claim] = redis["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data" and claim["spec"]["resources"] == {"requests": {"storage": "8Gi"}}
    spec = redis["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]} == {"/data", "/etc/valkey"}
    assert password not in yaml.dump([one for one in found if one["kind"] != "Secret"])
    assert not of_kind(found, "PodDisruptionBudget")
    assert decoded(of_kind(render(), "Secret")["shardfleet-redis"])["password"] != password, (
        "made anew, not written here"
    )


def test_redis_starts_anew_for_its_configuration_and_not_for_its_password() -> None:
    def annotations() -> Object:
        template: Object = of_kind(render(), "StatefulSet")["shardfleet-redis"]["spec"]["template"]
        return dict(template["metadata"]["annotations"])

    assert annotations() == annotations() != {}


def test_redis_without_a_volume() -> None:
    spec = of_kind(render(UNKEPT), "StatefulSet")["shardfleet-redis"]["spec"]
    assert "volumeClaimTemplates" not in spec
    assert {"name": "data", "emptyDir": {}} in spec["template"]["spec"]["volumes"]
    with ApiServer() as server:
        assert "WARNING: the bundled Redis has no volume" in notes(UNKEPT, server)


def test_a_drain_waits_for_redis_where_that_is_wanted() -> None:
    found = render(EVERYTHING)
    [budget] = of_kind(found, "PodDisruptionBudget").values()
    labels = of_kind(found, "StatefulSet")["shardfleet-redis"]["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["maxUnavailable"] == 0
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("values", [EXTERNAL, NOTHING])
def test_a_redis_of_ones_own_leaves_nothing_of_the_bundled_one(values: dict[str, Any]) -> None:
    found = render(values)
    assert not of_kind(found, "StatefulSet")
    assert "shardfleet-redis" not in {**of_kind(found, "Secret"), **of_kind(found, "Service")}


@pytest.mark.parametrize(("name", "key"), [("redis", "password"), ("map", "token")])
def test_a_secret_is_kept_at_an_upgrade(name: str, key: str) -> None:
    """By helm itself, which looks the Secret up in a (very small) API server."""
    with ApiServer() as server:
        first = of_kind(server_side(server), "Secret")[f"shardfleet-{name}"]
        server.objects[f"/api/v1/namespaces/{NAMESPACE}/secrets/shardfleet-{name}"] = first
        second = of_kind(server_side(server), "Secret")[f"shardfleet-{name}"]
        other = of_kind(server_side(server, release="other"), "Secret")[f"other-shardfleet-{name}"]
    assert decoded(first) == decoded(second)
    assert decoded(other)[key] != decoded(first)[key]


def server_side(server: ApiServer, *, release: str = "shardfleet") -> list[Object]:
    result = template({}, "--dry-run=server", release=release, environ={"KUBECONFIG": server.kubeconfig})
    assert result.returncode == 0, result.stderr
    return [one for one in yaml.safe_load_all(result.stdout) if one]


# --- networks ----------------------------------------------------------------------------------------------------


def test_networks(objects: list[Object]) -> None:
    policies, found = of_kind(objects, "NetworkPolicy"), dict(pods(objects))
    if not policies:
        assert "StatefulSet/shardfleet-redis" not in found, "only where it is said so"
        return
    operator = found["Deployment/shardfleet"]["metadata"]["labels"]
    assert policies["shardfleet"]["spec"]["podSelector"]["matchLabels"].items() <= operator.items()
    health, metrics = {"port": 8080, "protocol": "TCP"}, {"port": 8082, "protocol": "TCP"}
    assert policies["shardfleet"]["spec"]["ingress"] == [{"ports": [health, metrics]}]
    if "StatefulSet/shardfleet-redis" not in found:
        assert policies.keys() <= {"shardfleet", "shardfleet-map"}
        return
    spec = policies["shardfleet-redis"]["spec"]
    redis = found["StatefulSet/shardfleet-redis"]["metadata"]["labels"]
    assert spec["podSelector"]["matchLabels"].items() <= redis.items()
    [rule] = spec["ingress"]
    assert rule["ports"] == [{"port": 6379, "protocol": "TCP"}]
    theirs, maps, shards = rule["from"]
    the_map = found["Deployment/shardfleet-map"]["metadata"]["labels"]
    assert maps["podSelector"]["matchLabels"].items() <= the_map.items() and "namespaceSelector" not in maps
    assert not maps["podSelector"]["matchLabels"].items() <= operator.items()
    assert theirs["podSelector"]["matchLabels"].items() <= operator.items() and "namespaceSelector" not in theirs
    assert shards == {
        "namespaceSelector": {},
        "podSelector": {"matchExpressions": [{"key": "shardfleet.dev/fleet", "operator": "Exists"}]},
    }
    assert not any(spec["podSelector"]["matchLabels"].items() <= one["metadata"].get("labels", {}).items()
                   for where, one in found.items() if where != "StatefulSet/shardfleet-redis")  # fmt: skip


def test_a_fleets_network_policy_lets_this_operator_in() -> None:
    fleet = FleetObjects(
        namespace="play", name="arena", uid="u", config=FleetConfig(name="arena", namespace="play"), image="i",
        redis=RedisSecret(name="r", url="redis://r"),
    )  # fmt: skip
    selectors = [one["podSelector"]["matchLabels"] for one in fleet.network_policy()["spec"]["ingress"][0]["from"]]
    found = dict(pods(render()))
    operator = found["Deployment/shardfleet"]["metadata"]["labels"]
    assert any(selector.items() <= operator.items() for selector in selectors)
    others = [pod["metadata"].get("labels", {}) for where, pod in found.items() if where != "Deployment/shardfleet"]
    assert not any(selector.items() <= labels.items() for selector in selectors for labels in others)


# --- the map -----------------------------------------------------------------------------------------------------


def test_the_map_has_the_redis_a_token_and_no_rights() -> None:
    found = render({"map.hosts": ["map.example"], "map.nodeSelector": {"disk": "fast"}})
    deployment = of_kind(found, "Deployment")["shardfleet-map"]["spec"]
    spec, labels = deployment["template"]["spec"], deployment["template"]["metadata"]["labels"]
    assert spec["automountServiceAccountToken"] is False and "serviceAccountName" not in spec
    assert spec["nodeSelector"] == {"disk": "fast"}
    [container] = spec["containers"]
    assert container["args"] == [
        "map",
        f"--listen=0.0.0.0:{MAP_PORT}",
        "--token-file=/etc/shardfleet-map/token",
        *(f"--host=shardfleet-map{end}" for end in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc")),
        "--host=map.example",
    ]
    assert container["env"] == [
        {"name": "SHARDFLEET_REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "shardfleet-redis", "key": "url"}}}
    ]
    secret = of_kind(found, "Secret")["shardfleet-map"]
    token = checked_token(decoded(secret)["token"], source="the chart")
    assert len(token) == 40
    assert token not in yaml.dump([one for one in found if one["kind"] != "Secret"])
    [volume] = spec["volumes"]
    assert volume["secret"]["items"] == [{"key": "token", "path": "token"}]
    service = of_kind(found, "Service")["shardfleet-map"]["spec"]
    assert service["selector"].items() <= labels.items() and "type" not in service
    assert [port["targetPort"] for port in service["ports"]] == ["map"]


def test_the_operator_tells_how_the_map_is_found() -> None:
    found = render()
    selector = dict(
        part.split("=") for part in decoded(of_kind(found, "Secret")["shardfleet-map"])["selector"].split(",")
    )
    matching = [where for where, pod in pods(found) if selector.items() <= pod["metadata"].get("labels", {}).items()]
    assert matching == ["Deployment/shardfleet-map"]
    spec = of_kind(found, "Deployment")["shardfleet"]["spec"]["template"]["spec"]
    assert {"name": "map", "secret": {"secretName": "shardfleet-map", "defaultMode": 0o440}} in spec["volumes"]
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": "map", "mountPath": "/etc/shardfleet-map", "readOnly": True}
    ]


def test_nobody_may_connect_to_the_map_but_who_was_named() -> None:
    policy = of_kind(render(), "NetworkPolicy")["shardfleet-map"]["spec"]
    assert policy["ingress"] == [] and policy["policyTypes"] == ["Ingress"]
    peer = {"namespaceSelector": {"matchLabels": {"name": "ingress"}}}
    policy = of_kind(render({"map.allowFrom": [peer]}), "NetworkPolicy")["shardfleet-map"]["spec"]
    assert policy["ingress"] == [{"from": [peer], "ports": [{"port": MAP_PORT, "protocol": "TCP"}]}]


@pytest.mark.parametrize("values", [{"map.enabled": False}, NOTHING])
def test_without_a_map_or_a_redis_to_read_nothing_of_it_is_there(values: dict[str, Any]) -> None:
    found = render(values)
    assert not [one for one in found if "map" in one["metadata"]["name"].split("-")]
    [container] = of_kind(found, "Deployment")["shardfleet"]["spec"]["template"]["spec"]["containers"]
    assert "--map" not in " ".join(container["args"]) and "volumeMounts" not in container
    redis = of_kind(found, "NetworkPolicy").get("shardfleet-redis")
    assert redis is None or len(redis["spec"]["ingress"][0]["from"]) == 2


# --- the CRD, coming and going -----------------------------------------------------------------------------------


def test_the_crd() -> None:
    source = yaml.safe_load((ROOT / "crds" / "shardfleets.yaml").read_text())
    [crd] = of_kind(render(), "CustomResourceDefinition").values()
    assert crd["spec"] == source["spec"] and crd["metadata"]["name"] == source["metadata"]["name"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    [crd] = of_kind(render({"crds.keep": False}), "CustomResourceDefinition").values()
    assert "helm.sh/resource-policy" not in crd["metadata"].get("annotations", {})
    assert not of_kind(render({"crds.install": False}), "CustomResourceDefinition")


def test_uninstalling_asks_for_living_fleets_first() -> None:
    job = of_kind(render({"operator.namespaces": ["play"]}), "Job")["shardfleet-uninstall"]
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-delete",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-failed",
    }
    assert job["spec"]["backoffLimit"] == 0
    spec = job["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never" and spec["serviceAccountName"] == "shardfleet"
    [container] = spec["containers"]
    assert container["args"] == ["fleets", "--none", "--namespace=play"]


def test_helm_test() -> None:
    [pod] = of_kind(render(), "Pod").values()
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["args"] == ["fleets"]


def notes(values: dict[str, Any], server: ApiServer) -> str:
    result = helm(
        "install", "shardfleet", str(CHART), "-n", NAMESPACE, "--dry-run=client",
        "--disable-openapi-validation", *options(values),
        environ={"KUBECONFIG": server.kubeconfig},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:")[2]


def test_notes() -> None:
    with ApiServer() as server:
        text = notes({}, server)
        assert f"is in namespace {NAMESPACE}." in text and "ClusterRole shardfleet-viewer" in text
        assert "`helm uninstall` refuses while there are ShardFleets" in text and "WARNING" not in text
        assert "Every fleet must name its Redis" in notes(NOTHING, server)
        assert "Secret our-redis" in notes(EXTERNAL, server)
        text = notes(EVERYTHING, server)
        assert "for fleets in play, test." in text and "deletes all ShardFleets first" in text


def test_two_releases_share_nothing() -> None:
    def names(release: str) -> set[tuple[str, str, str]]:
        return {
            (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
            for one in render({"crds.install": False}, release=release)
        }

    assert not names("shardfleet") & names("other")
