"""The check finds each broken promise, and finds nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from shardfleet_shard.errors import SpecError
from shardfleet_shard.simulations.check import check, run


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("orbit", {}), ("linear", {}), ("linear", {"speed": 1200}), ("orbit", {"angularSpeed": -9})],
)
def test_the_built_in_simulations_keep_their_promises(name, parameters, dimensions):
    result = run(name, parameters, dimensions)
    assert result.ok, result.lines
    assert result.lines[-1] == "verdict: ok"


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        ("Mean", {"order", "split", "alone"}),
        ("Order", {"order", "split", "alone"}),
        ("Lonely", {"split", "alone"}),
        ("NegativeZero", {"split", "alone"}),
        ("Contiguous", {"layout"}),
        ("Remembers", {"repeat", "memory"}),
        ("RemembersTheStart", {"memory"}),
        ("TouchesVersion", {"identity"}),
        ("TouchesId", {"identity"}),
        ("Replaces", {"in place"}),
        ("NotANumber", {"finite"}),
        ("Raises", {"raises"}),
        ("LosesStrangers", {"leaves"}),
        ("LosesFractions", {"leaves"}),
        ("LosesTwice", {"leaves"}),
        ("LosesByPlace", {"order"}),
        ("SeedsTwice", {"seed"}),
        ("SeedsFew", {"seed"}),
        ("SeedsByClock", {"seed"}),
        ("ArrivesByClock", {"arrivals"}),
        ("ArrivesAgain", {"arrivals"}),
        ("NoRows", {"rows"}),
    ],
)
def test_each_broken_promise_is_found(install, plugin, rules):
    install(broken=plugin)
    result = run("broken")
    assert rules <= {fault.rule for fault in result.faults}, result.lines
    assert not result.ok and result.lines[-1] == "verdict: broken"
    assert all("\n" not in line for line in result.lines)


@pytest.mark.parametrize("plugin", ["Bare", "MeanOfFew"])
def test_what_keeps_its_promises_passes(install, plugin):
    install(fine=plugin)
    assert check("fine") == []
    assert ("not exact" in run("fine").lines[0]) == (plugin == "MeanOfFew")


VALUES = np.random.default_rng(1).uniform(-18, 18, (3000, 2))


def test_power_is_caught_where_this_machine_has_two_loops_for_it(install):
    backwards = np.zeros_like(VALUES)[::-1]
    backwards[:] = VALUES
    if (VALUES[:, 1] ** 3 == backwards[:, 1] ** 3).all():
        pytest.skip("NumPy's power gives the same bits in any memory on this processor")
    install(power="Power")
    assert "layout" in {fault.rule for fault in check("power")}


def test_a_matrix_product_is_caught_where_its_bits_depend_on_the_number_of_rows(install):
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    if (np.concatenate([row[None] @ turn for row in VALUES]) == VALUES @ turn).all():
        pytest.skip("this BLAS gives the same bits for any number of rows")
    install(product="MatrixProduct")
    assert "alone" in {fault.rule for fault in check("product")}


def test_a_fault_names_row_column_and_values(install):
    install(broken="Lonely")
    [fault, *_] = [fault for fault in check("broken") if fault.rule == "alone"]
    for part in ("with one row alone: id ", "gets position", "exact = False"):
        assert part in fault.message


def test_wrong_names_and_parameters_are_the_users_fault():
    with pytest.raises(SpecError, match=r"spec\.simulation\.name"):
        check("nothing")
    with pytest.raises(SpecError, match=r"spec\.simulation\.parameters\.radius"):
        check("orbit", {"radius": -1})


def test_an_upgrade_that_is_right_is_named_and_passes(install):
    install(grown="Grown")
    result = run("grown")
    assert result.ok, result.lines
    assert "upgrade from: bounces uint32" in result.lines and "upgrade from: no columns of its own" in result.lines


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("GrownByCompany", "alone becomes another row"),
        ("GrownByMemory", "another instance gives other rows"),
        ("GrownByOrder", "in another order become other rows"),
        ("GrownBroken", "from bounces uint32: broken.upgrade: KeyError: 'rage'"),
    ],
)
def test_a_wrong_upgrade_is_found(install, plugin, message):
    install(broken=plugin)
    faults = check("broken")
    assert {fault.rule for fault in faults} == {"upgrade"} and message in faults[0].message
