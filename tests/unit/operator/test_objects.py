"""Objects of a fleet, and the user's template under them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shardfleet_operator.cluster import names
from shardfleet_operator.cluster.map_objects import map_objects
from shardfleet_operator.cluster.objects import FleetObjects, RedisSecret
from shardfleet_operator.cluster.spec import read_spec
from shardfleet_operator.cluster.template import lay_under
from shardfleet_operator.plan import shard_name
from shardfleet_shard.config import FleetConfig
from shardfleet_shard.environment import HANDOFF_DELAY_VARIABLE
from shardfleet_shard.errors import SpecError
from shardfleet_shard.store.keys import fleet_prefix

URL = "redis://:s3cret@redis.play:6379/0"
OBJECTS = FleetObjects(
    namespace="play",
    name="arena",
    uid="u1",
    config=FleetConfig(name="arena", namespace="play"),
    image="shardfleet:1",
    redis=RedisSecret(name="arena-redis", url=URL),
)


def restricted(pod: dict[str, Any]) -> list[str]:
    """What the restricted Pod Security level would say, as far as a shard's pod can break it."""
    faults = []
    spec = pod["spec"]
    if (
        spec["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault"
        or not spec["securityContext"]["runAsNonRoot"]
    ):
        faults.append("pod")
    for container in spec["containers"]:
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
            faults.append(container["name"])
    return faults


def test_a_pod_runs_one_shard_without_rights() -> None:
    pod = OBJECTS.pod(3, restarts=2)
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["name"] == "arena-3" and pod["metadata"]["namespace"] == "play"
    assert pod["metadata"]["labels"]["shardfleet.dev/ordinal"] == "3"
    assert pod["metadata"]["annotations"]["shardfleet.dev/restarts"] == "2"
    assert restricted(pod) == [] and container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["restartPolicy"] == "Never" and pod["spec"]["terminationGracePeriodSeconds"] == 120
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["args"][:5] == ["shard", "--shard", "arena-3", "--ordinal", "3"]
    assert container["readinessProbe"]["grpc"] == {"port": 7001, "service": "shardfleet.v1.Handoff"}


def test_the_redis_url_is_in_its_secret_alone() -> None:
    everything = [OBJECTS.pod(0), *OBJECTS.fleet_objects()]
    told = [body["kind"] for body in everything if "s3cret" in json.dumps(body)]
    assert told == [] and any(body["kind"] == "Secret" for body in everything)
    named = replace(OBJECTS, redis=RedisSecret(name="theirs", key="uri"))
    assert not any(body["kind"] == "Secret" for body in named.fleet_objects())
    (container,) = named.pod(0)["spec"]["containers"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "theirs", "key": "uri"}


def test_every_object_is_the_fleets_own() -> None:
    for body in [OBJECTS.pod(0), *OBJECTS.fleet_objects()]:
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("ShardFleet", "u1", True)
        assert body["metadata"]["labels"]["shardfleet.dev/fleet"] == "arena"


def test_the_shards_read_what_the_config_map_holds() -> None:
    config = FleetConfig.from_json(OBJECTS.config_map()["data"]["fleet.json"])
    assert config == OBJECTS.config and config.identity == "play.arena"


@given(
    st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True),
)
def test_fleets_of_two_namespaces_never_share_keys(one: str, other: str) -> None:
    first, second = FleetConfig(name=one, namespace=other), FleetConfig(name=other, namespace=one)
    prefixes = {fleet_prefix(first.identity), fleet_prefix(second.identity)}
    assert len(prefixes) == (1 if one == other else 2)
    assert not any(a != b and a.startswith(b) for a in prefixes for b in prefixes)


# --- the template ------------------------------------------------------------------------------------------------


def test_a_template_adds_and_does_not_overrule() -> None:
    template = {
        "metadata": {"labels": {"team": "blue", "shardfleet.dev/fleet": "other"}, "annotations": {"note": "x"}},
        "spec": {
            "nodeSelector": {"disk": "fast"},
            "restartPolicy": "Always",
            "containers": [
                {
                    "name": "shard",
                    "image": "evil",
                    "resources": {"limits": {"memory": "1Gi"}},
                    "env": [{"name": "A", "value": "1"}],
                },
                {"name": "sidecar", "image": "side:1"},
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }
    pod = replace(OBJECTS, template=template).pod(0)
    assert pod["metadata"]["labels"]["team"] == "blue" and pod["metadata"]["labels"]["shardfleet.dev/fleet"] == "arena"
    assert pod["metadata"]["annotations"]["note"] == "x"
    spec = pod["spec"]
    shard, sidecar = spec["containers"]
    assert spec["nodeSelector"] == {"disk": "fast"} and spec["restartPolicy"] == "Never"
    assert shard["image"] == "shardfleet:1" and sidecar["image"] == "side:1"
    assert shard["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}}
    assert [variable["name"] for variable in shard["env"]][-1] == "A"
    assert [volume["name"] for volume in spec["volumes"]] == ["config", "tls", "scratch"]


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("x", "spec.template"),
        ({"spec": "x"}, "spec.template.spec"),
        ({"metadata": None}, "spec.template.metadata"),
        ({"spec": {"containers": {"name": "shard"}}}, "spec.template.spec.containers"),
        ({"spec": {"containers": [{"image": "x"}]}}, "spec.template.spec.containers"),
        ({"spec": {"containers": [{"name": "shard", "env": ["A=1"]}]}}, "spec.template.spec.containers[0].env"),
        ({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}, "spec.template.spec.containers"),
        ({"spec": {"securityContext": []}}, "spec.template.spec.securityContext"),
    ],
)
def test_a_template_of_another_shape_is_refused_by_its_field(template: Any, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        replace(OBJECTS, template=template).pod(0)
    assert [path for path, _ in caught.value.faults] == [field]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "env", "spec", "a"]), inner, max_size=3)
    ),
    max_leaves=12,
)
own_fields = st.dictionaries(st.sampled_from(["a", "env"]), st.integers(), max_size=2)
own_values = st.dictionaries(st.sampled_from(["a", "spec"]), own_fields)


@given(json_values, own_values)
def test_whatever_the_template_the_operators_fields_stay(template: Any, own: dict[str, Any]) -> None:
    try:
        result = lay_under(template, own)
    except SpecError:
        return
    for name, fields in own.items():
        for field, value in fields.items():
            assert result[name][field] == value


def test_a_revision_changes_with_what_a_pod_is_made_of_alone() -> None:
    config = OBJECTS.config
    same = replace(OBJECTS, config=replace(config, replicas=9), uid="u1")
    assert same.revision == OBJECTS.revision == OBJECTS.pod(5)["metadata"]["annotations"]["shardfleet.dev/revision"]
    others = [
        replace(OBJECTS, image="shardfleet:2"),
        replace(OBJECTS, template={"spec": {"nodeSelector": {"disk": "fast"}}}),
        replace(OBJECTS, config=replace(config, lease_us=4_000_000)),
        replace(OBJECTS, redis=RedisSecret(name="theirs")),
        replace(OBJECTS, trace_claim="traces"),
    ]
    assert len({one.revision for one in [OBJECTS, *others]}) == 6


# --- the spec ----------------------------------------------------------------------------------------------------


def body(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "arena", "namespace": "play", "uid": "u", "managedFields": [{"manager": "kubectl"}]}
    return {
        "apiVersion": "shardfleet.dev/v1alpha1", "kind": "ShardFleet", "metadata": metadata, "spec": spec,
        "status": {"conditions": []},
    }  # fmt: skip


def test_a_spec_is_read_with_its_defaults() -> None:
    spec = read_spec(body(redis={"urlSecretRef": {"name": "theirs"}}), {})
    assert spec.config.identity == "play.arena" and spec.config.replicas == 4
    assert (spec.redis_secret, spec.redis_key, spec.max_surge, spec.image) == ("theirs", "url", 1, "")


def test_the_handoff_delay_of_the_environment_wins_the_nearest_first() -> None:
    variable = {"name": HANDOFF_DELAY_VARIABLE, "value": "90000"}
    template = {"spec": {"containers": [{"name": "shard", "env": [variable]}]}}
    environ = {HANDOFF_DELAY_VARIABLE: "80000"}
    assert read_spec(body(), environ).config.handoff_delay_us == 80_000
    assert read_spec(body(template=template), environ).config.handoff_delay_us == 90_000
    with pytest.raises(SpecError, match=HANDOFF_DELAY_VARIABLE):
        read_spec(body(), {HANDOFF_DELAY_VARIABLE: "soon"})


def test_fleets_with_like_names_in_one_namespace_share_no_object() -> None:
    def made(name: str) -> set[tuple[str, str]]:
        objects = replace(OBJECTS, name=name, redis=RedisSecret(name=names.redis_secret_name(name), url=URL))
        bodies = [*objects.fleet_objects(), *map_objects(objects, token="t" * 16, url=URL)]
        bodies += [objects.pod(ordinal) for ordinal in (0, 1)]
        secrets = [names.authority_secret_name(name)]
        secrets += [names.tls_secret_name(shard_name(name, ordinal)) for ordinal in (0, 1)]
        return {(body["kind"], body["metadata"]["name"]) for body in bodies} | {("Secret", one) for one in secrets}

    alike = ["a", "a-0", "a-0-0", "a-1", "a-ca", "a-config", "a-redis", "a-tls", "a-0-tls", "a-0-ca", "a-0-redis"]
    alike += ["a-map", "a-0-map", "a-map-redis"]
    all_made = {name: made(name) for name in alike}
    for one, other in itertools.combinations(alike, 2):
        assert not all_made[one] & all_made[other], f"fleets {one} and {other} clash"
