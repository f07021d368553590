"""A fleet's file: read, defaults, where each value came from, and what is said of a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest
from shardfleet_operator.resource import config_rows, fleet_from_object, load_fleet, reference, to_config
from shardfleet_operator.resource.schema import crd_text
from shardfleet_shard.config import (
    MAX_HANDOFF_DELAY_US,
    FleetConfig,
    default_skew_limit_us,
    format_duration_us,
    parse_duration_us,
)
from shardfleet_shard.environment import HANDOFF_DELAY_VARIABLE
from shardfleet_shard.errors import SpecError, UsageError

from .cases import fleet

REPOSITORY = Path(__file__).parents[3]
HEAD = "apiVersion: shardfleet.dev/v1alpha1\nkind: ShardFleet\nmetadata: {name: arena}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "arena.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def error_of(path: Path) -> UsageError:
    with pytest.raises(UsageError) as raised:
        load_fleet(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    return raised.value


# --- what is right ---------------------------------------------------------------------------------------------


def test_the_example() -> None:
    resource = load_fleet(REPOSITORY / "examples" / "orbit.yaml")
    config = to_config(resource, {})
    assert (config.name, config.replicas, config.simulation, config.seed_entities) == ("arena", 4, "orbit", 50)
    assert config.base_dir == str(REPOSITORY / "examples")


def test_the_smallest_fleet_gets_every_default() -> None:
    resource = fleet_from_object(fleet({}))
    assert resource.spec == {
        "replicas": 4,
        "image": "",
        "world": {"min": [-120, -120], "max": [120, 120]},
        "simulation": {"name": "orbit", "parameters": {}, "seedEntities": 50},
        "tickRate": 20,
        "handoff": {"delay": "60ms", "discrepancyThreshold": "1500ms", "borderMargin": "0.5", "guard": "10ms"},
        "lease": "3s",
        "telemetry": {"interval": "50ms"},
        "electionInterval": "2s",
        "watchdog": {"auditInterval": "250ms"},
        "links": {"lease": "Enabled", "inactivity": "2s", "leaseTTL": "25s"},
        "redisOutagePolicy": "Freeze",
        "map": "Disabled",
        "updateStrategy": {"maxSurge": 1},
        "template": {},
    }


def test_the_crds_defaults_are_the_shards_own() -> None:
    assert to_config(fleet_from_object(fleet({})), {}) == FleetConfig(name="arena")


def test_a_given_group_gets_its_missing_fields_and_null_counts_as_left_out() -> None:
    resource = fleet_from_object(
        fleet({"spec.handoff": {"delay": "80ms"}, "spec.simulation.parameters": None, "spec.lease": None})
    )
    assert resource.spec["handoff"]["guard"] == "10ms"
    assert resource.spec["simulation"] == {"name": "orbit", "parameters": {}, "seedEntities": 50}
    assert resource.spec["lease"] == "3s"
    assert to_config(resource, {}).sources["lease_us"] == "default"


def test_defaults_are_copies() -> None:
    fleet_from_object(fleet({})).spec["world"]["min"].append(7)
    assert fleet_from_object(fleet({})).spec["world"]["min"] == [-120, -120]


def test_every_knob_reaches_the_shards() -> None:
    resource = fleet_from_object(
        fleet(
            {
                "spec.replicas": 6,
                "spec.world": {"min": [0, 1, 2], "max": [10, 11, 12]},
                "spec.simulation": {"name": "replay", "parameters": {"tracks": "a.csv"}, "seedEntities": 7},
                "spec.tickRate": 50,
                "spec.handoff": {
                    "delay": "61ms",
                    "discrepancyThreshold": "2s",
                    "borderMargin": "0.25",
                    "guard": "11ms",
                    "skewLimit": "12ms",
                },
                "spec.lease": "4s",
                "spec.telemetry": {"interval": "70ms"},
                "spec.electionInterval": "3s",
                "spec.watchdog": {"auditInterval": "300ms"},
                "spec.links": {"lease": "Disabled", "inactivity": "5s", "leaseTTL": "30s"},
                "spec.redisOutagePolicy": "Continue",
            }
        )
    )
    config = to_config(resource, {})
    assert config == FleetConfig(
        name="arena",
        replicas=6,
        world_low=(0.0, 1.0, 2.0),
        world_high=(10.0, 11.0, 12.0),
        simulation="replay",
        parameters={"tracks": "a.csv"},
        seed_entities=7,
        tick_rate=50,
        handoff_delay_us=61_000,
        discrepancy_threshold_us=2_000_000,
        border_margin=0.25,
        guard_us=11_000,
        skew_limit_us=12_000,
        lease_us=4_000_000,
        telemetry_interval_us=70_000,
        election_interval_us=3_000_000,
        audit_interval_us=300_000,
        link_lease="Disabled",
        link_inactivity_us=5_000_000,
        link_lease_ttl_us=30_000_000,
        redis_outage_policy="Continue",
    )
    assert set(config.sources.values()) == {"spec"}
    assert FleetConfig.from_json(config.to_json()) == config


# --- where a value came from -----------------------------------------------------------------------------------


def rows(values: dict[str, object], environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {row.field: (row.value, row.source) for row in config_rows(fleet_from_object(fleet(values)), environ)}


def test_the_environment_wins_over_the_spec_and_the_spec_over_the_default() -> None:
    delay = "spec.handoff.delay"
    variable = {HANDOFF_DELAY_VARIABLE: "90000"}
    assert rows({}, {})[delay] == ("60ms", "default")
    assert rows({delay: "70ms"}, {})[delay] == ("70ms", "spec")
    assert rows({delay: "70ms"}, variable)[delay] == ("90ms", HANDOFF_DELAY_VARIABLE)
    assert to_config(fleet_from_object(fleet({delay: "70ms"})), variable).handoff_delay_us == 90_000


def test_a_value_that_equals_the_default_but_was_written_comes_from_the_spec() -> None:
    assert rows({"spec.tickRate": 20}, {})["spec.tickRate"] == ("20", "spec")


def test_the_skew_limit_follows_the_delay_where_it_is_left_out() -> None:
    limit = "spec.handoff.skewLimit"
    assert rows({}, {})[limit] == ("15ms", "default")
    assert rows({"spec.handoff.delay": "100ms"}, {})[limit] == ("25ms", "default")
    assert rows({}, {HANDOFF_DELAY_VARIABLE: "80000"})[limit] == ("20ms", "default")
    assert rows({limit: "5ms"}, {})[limit] == ("5ms", "spec")


def test_the_rows_hold_every_field_of_the_spec() -> None:
    table = rows({"spec.redis.urlSecretRef.name": "r", "spec.simulation.parameters": {"b": 1, "a": [2]}}, {})
    assert table["spec.world.min"] == ("-120, -120", "default")
    assert table["spec.redis.urlSecretRef.name"] == ("r", "spec")
    assert table["spec.redis.urlSecretRef.key"] == ("url", "default")
    assert table["spec.trace.claimName"] == ("", "default")
    assert table["spec.simulation.parameters"] == ('{"a": [2], "b": 1}', "spec")
    assert {"spec.image", "spec.template", "spec.updateStrategy.maxSurge", "spec.links.leaseTTL"} <= set(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60ms", "'60ms' is not a whole number of microseconds"),
        ("", "'' is not a whole number of microseconds"),
        ("-1", "is not a whole number"),
        ("6e4", "is not a whole number"),
        ("٦٠٠٠٠", "is not a whole number"),
        ("59999", "less than one tick plus the guard (50000 + 10000 us)"),
        (str(MAX_HANDOFF_DELAY_US + 1), "more than 10000000 us"),
    ],
)
def test_a_bad_variable_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        to_config(fleet_from_object(fleet({})), {HANDOFF_DELAY_VARIABLE: text})
    assert str(raised.value).startswith(f"{HANDOFF_DELAY_VARIABLE}: ")
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_variable_below_the_specs_skew_limit_is_refused() -> None:
    resource = fleet_from_object(fleet({"spec.handoff": {"delay": "90ms", "skewLimit": "80ms"}}))
    with pytest.raises(SpecError, match=rf"{HANDOFF_DELAY_VARIABLE}: .* less than the skew limit"):
        to_config(resource, {HANDOFF_DELAY_VARIABLE: "70000"})


@pytest.mark.parametrize("text", ["1us", "1500ms", "60ms", "3s", "2m", "61s", "60001us"])
def test_durations_go_both_ways(text: str) -> None:
    assert format_duration_us(parse_duration_us(text)) == text


def test_odd_durations() -> None:
    assert format_duration_us(0) == "0us"
    assert format_duration_us(1_500_000) == "1500ms"
    assert default_skew_limit_us(60_000) == 15_000
    assert default_skew_limit_us(1) == 1


# --- what is wrong ---------------------------------------------------------------------------------------------


def test_faults_have_file_line_and_field(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "spec:\n  replicas: 0\n  handoff:\n    delay: 30ms\n")
    error = error_of(path)
    assert isinstance(error, SpecError)
    assert error.faults[0] == ("spec.replicas", "must be at least 1, not 0")
    assert str(error).startswith(f"{path}:5: spec.replicas: must be at least 1, not 0; {path}:7: spec.handoff.delay: ")


def test_a_missing_field_has_the_line_of_its_group(tmp_path: Path) -> None:
    assert f"{tmp_path / 'arena.yaml'}:5: spec.world.max: is required" in str(
        error_of(write(tmp_path, HEAD + "spec:\n  world:\n    min: [0, 0]\n"))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spec: {handof: {delay: 60ms}}", "spec.handof: unknown field; did you mean handoff?"),
        ("spec: {handoff: {Delay: 60ms}}", "spec.handoff.Delay: unknown field; did you mean delay?"),
        ("spec: {delay: 60ms}", "spec.delay: unknown field; did you mean spec.handoff.delay?"),
        ("spec: {links: {zzz: 1}}", "spec.links.zzz: unknown field; known are lease, inactivity, leaseTTL"),
        ("spec: {}\nsepc: {}", "sepc: unknown field; did you mean spec?"),
        ("spec: {}\nreplicas: 3", "replicas: unknown field; did you mean spec.replicas?"),
    ],
)
def test_unknown_fields(tmp_path: Path, text: str, message: str) -> None:
    assert message in str(error_of(write(tmp_path, HEAD + text)))


def test_an_unknown_field_of_metadata(tmp_path: Path) -> None:
    text = HEAD.replace("{name: arena}", "{name: arena, label: {}}") + "spec: {}\n"
    assert ":3: metadata.label: unknown field; did you mean labels?" in str(error_of(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; a ShardFleet is expected"),
        ("# nothing\n---\n", "is empty; a ShardFleet is expected"),
        ("just text", "not a ShardFleet"),
        ("[1, 2]", "not a ShardFleet"),
        ("{kind: ShardFleet, apiVersion: [1", ":1: not YAML: "),
        (HEAD + "spec:\n  replicas: 3\n    lease: 3s\n", ":6: not YAML: mapping values are not allowed here"),
        (HEAD + "spec:\n\tlease: 3s\n", ":5: not YAML: "),
        (HEAD + "spec: {a: *b}\n", ":4: not YAML: found undefined alias 'b'"),
        (HEAD + "spec: {}\n---\n" + HEAD + "spec: {}\n", ":6: a second document begins; give each fleet a file"),
        (HEAD.replace("ShardFleet", "Deployment"), "not a ShardFleet: kind is 'Deployment'"),
        ("metadata: {}", "not a ShardFleet: kind is missing"),
        (HEAD.replace("v1alpha1", "v9"), "apiVersion is 'shardfleet.dev/v9'; this release reads"),
        ("kind: ShardFleet", "apiVersion is missing; this release reads"),
        (HEAD, "spec: is required"),
        (HEAD + "spec:\n", ":4: spec: must be a group of fields, not nothing"),
        (HEAD.replace("{name: arena}", "{}") + "spec: {}", ":3: metadata.name: is required"),
        (HEAD.replace("metadata: {name: arena}\n", "") + "spec: {}", "metadata.name: is required"),
        (HEAD.replace("{name: arena}", "{name: 5}") + "spec: {}", ":3: metadata.name: must be text, not 5"),
        (HEAD + "spec:\n  lease: 3s\n  lease: 4s\n", ":5: spec.lease: is there twice, again in line 6"),
        (HEAD + "spec: {lease: !!python/none 3s}", ":4: the tag tag:yaml.org,2002:python/none means nothing here"),
        (HEAD + "spec: {replicas: !!int four}", ":4: 'four' is not a number"),
        (HEAD + "spec: {[a]: 1}", ":4: a field's name must be plain text"),
        (HEAD + "spec: &s {template: *s}", "too large or nested too deeply"),
        (HEAD + "spec: {lease: 2024-01-01}", "'2024-01-01' is not a duration such as"),
        (HEAD + "spec: {lease: 1:30}", "'1:30' is not a duration such as"),
        (HEAD + "spec: {tickRate: .inf}", "must be a whole number, not inf"),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    assert message in str(error_of(write(tmp_path, text)))


def test_aliases_that_blow_up_are_stopped(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "too large or nested too deeply" in str(error_of(write(tmp_path, "\n".join(lines))))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in str(error_of(tmp_path / "none.yaml"))
    assert "cannot be read: Is a directory" in str(error_of(tmp_path))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"kind: \xff")
    assert "not text in UTF-8 (byte 6)" in str(error_of(binary))
    binary.write_bytes(b" " * 1_500_001)
    assert "are too many" in str(error_of(binary))


def test_merge_keys_and_an_end_mark_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    text = (
        HEAD
        + "spec:\n  telemetry: &t {interval: 70ms}\n  handoff: {<<: {guard: 12ms, delay: 90ms}, delay: 80ms}\n---\n"
    )
    spec = load_fleet(write(tmp_path, text)).spec
    assert (spec["handoff"]["guard"], spec["handoff"]["delay"]) == ("12ms", "80ms")


def test_later_faults_keep_the_files_lines(tmp_path: Path) -> None:
    resource = load_fleet(write(tmp_path, HEAD + "spec:\n  simulation:\n    parameters:\n      radius: -1\n"))
    error = resource.error([("spec.simulation.parameters.radius", "must be above 0")])
    assert str(error) == f"{resource.source}:7: spec.simulation.parameters.radius: must be above 0"


def test_an_object_goes_round() -> None:
    resource = fleet_from_object(fleet({"metadata.namespace": "games", "spec.replicas": 2}))
    assert fleet_from_object(resource.to_object()).spec == resource.spec
    assert fleet_from_object(resource.to_object()).namespace == "games"


# --- the reference page ----------------------------------------------------------------------------------------


def test_the_reference_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert reference.PAGE.main(["--check"]) == 0


def test_the_crd_is_found() -> None:
    assert crd_text() == (REPOSITORY / "crds" / "shardfleets.yaml").read_text(encoding="utf-8")
