"""Laying a user's pod template under the operator's own fields. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from shardfleet_shard.errors import SpecError

# Lists whose items are told apart by a field, as the API server's strategic merge does.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "imagePullSecrets": "name",
}


def lay_under(template: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` with what ``template`` adds to it. Where both say something, ``own`` wins.

    Raises:
        SpecError: the template has another shape where the operator has fields of its own; by field path.
    """
    if not isinstance(template, Mapping):
        raise SpecError([("spec.template", "must be a pod template: a group of fields, metadata and spec")])
    result = _merged(template, own, "spec.template")
    assert isinstance(result, dict)
    return result


def _merged(under: Any, own: Any, path: str) -> Any:
    if isinstance(own, Mapping):
        if not isinstance(under, Mapping):
            raise SpecError([(path, "must be a group of fields")])
        result = copy.deepcopy({name: value for name, value in under.items() if name not in own})
        for name, value in own.items():
            result[name] = _merged(under[name], value, f"{path}.{name}") if name in under else copy.deepcopy(value)
        return result
    if isinstance(own, list) and (key := _MERGE_KEYS.get(path.rpartition(".")[2])):
        return _merged_list(under, own, path, key)
    return copy.deepcopy(own)


def _merged_list(under: Any, own: list[Any], path: str, key: str) -> list[Any]:
    """The operator's items first, in its order; then the user's own."""
    for items in (under, own):
        if not isinstance(items, list) or not all(_is_keyed(item, key) for item in items):
            raise SpecError([(path, f"must be a list of groups of fields, each with {key}")])
        keys = [item[key] for item in items]
        if len(set(keys)) < len(keys):
            raise SpecError([(path, f"has the same {key} twice")])
    theirs = {item[key]: (number, item) for number, item in enumerate(under)}
    result = []
    for item in own:
        number, below = theirs.pop(item[key], (0, {}))
        result.append(_merged(below, item, f"{path}[{number}]"))
    return result + [copy.deepcopy(dict(item)) for _, item in theirs.values()]


def _is_keyed(item: Any, key: str) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get(key), str | int)
