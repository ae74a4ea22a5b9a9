"""Builds kustomizations without kustomize: the few features that ours have; any other is an error."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]
Node = Object | list[Any]

_LOCAL = "config.kubernetes.io/local-config"
_KEYS = {"apiVersion", "kind", "resources", "replacements", "patches"}


def build(folder: Path) -> list[Object]:
    """Do what ``kubectl kustomize FOLDER`` does; the order of objects is that of the files."""
    return [each for each in _build(folder) if _LOCAL not in each["metadata"].get("annotations", {})]


def load_objects(text: str) -> list[Object]:
    """Read all objects of a text in YAML."""
    return [each for each in yaml.safe_load_all(text) if each]


def _build(folder: Path) -> list[Object]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(kustomization) <= _KEYS, f"{folder}: expected {_KEYS}, got {set(kustomization)}"
    objects: list[Object] = []
    for name in kustomization["resources"]:
        path = folder / name
        objects += _build(path) if path.is_dir() else load_objects(path.read_text(encoding="utf-8"))
    for patch in kustomization.get("patches", []):
        (target,) = selected(objects, patch["target"])
        for step in yaml.safe_load(patch["patch"]):
            _patch(target, step)
    for replacement in kustomization.get("replacements", []):
        _replace(objects, replacement)
    return objects


def selected(objects: list[Object], selector: dict[str, str]) -> list[Object]:
    """Find the objects of a kind, and of a name where one is given."""
    assert set(selector) <= {"kind", "name"}, selector
    return [
        each
        for each in objects
        if each["kind"] == selector["kind"]
        and selector.get("name", each["metadata"]["name"]) == each["metadata"]["name"]
    ]


def _replace(objects: list[Object], replacement: Object) -> None:
    source = dict(replacement["source"])
    ((holder, key),) = _places(selected(objects, {"kind": source["kind"], "name": source["name"]}), source["fieldPath"])
    for target in replacement["targets"]:
        found = selected(objects, target["select"])
        assert found, f"{target}: no such object"
        for path in target["fieldPaths"]:
            places = _places(found, path)
            assert places, f"{path}: no such field"
            for place, name in places:
                assert type(place[name]) is type(holder[key]), f"{path}: another type than {source['fieldPath']}"
                place[name] = copy.deepcopy(holder[key])


def _places(objects: list[Object], path: str) -> list[tuple[Any, Any]]:
    steps = [step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.(?![^\[]*\])", path)]
    places: list[Any] = list(objects)
    for step in steps[:-1]:
        places = [value for place in places for value in _children(place, step)]
    return [(place, key) for place in places for key in _keys(place, steps[-1])]


def _children(place: Node, step: str) -> Iterator[Any]:
    yield from (place[key] for key in _keys(place, step))


def _keys(place: Node, step: str) -> list[Any]:
    if isinstance(place, dict):
        return [step] if step in place else []
    if step == "*":
        return list(range(len(place)))
    if match := re.fullmatch(r"\[(\w+)=(\w+)\]", step):
        return [index for index, each in enumerate(place) if each.get(match[1]) == match[2]]
    return [int(step)] if int(step) < len(place) else []


def _patch(target: Node, step: Object) -> None:
    """Apply one operation of a JSON patch (RFC 6902)."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    for part in parents:
        target = target[int(part) if isinstance(target, list) else part]
    key = int(last) if isinstance(target, list) else last
    if step["op"] == "test":
        assert target[key] == step["value"], f"{step}: got {target[key]!r}"
        return
    assert step["op"] in ("add", "replace"), step
    is_there = key in target if isinstance(target, dict) else key < len(target)
    assert is_there == (step["op"] == "replace"), f"{step}: would {'over' if is_there else 'newly '}write"
    target[key] = step["value"]
