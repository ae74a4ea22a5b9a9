"""What the API server would say of an object, without one: schemas of Kubernetes and of the Dask operator, strictly."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

OLDEST, NEWEST = "1.31", "1.37"
"""Versions of Kubernetes: the oldest with all that the manifests say in its stable part, and what is out."""

_CRDS = "operator/deployment/helm/dask-kubernetes-operator/crds"


def complaints(thing: dict[str, Any], version: str = NEWEST) -> list[str]:
    """Tell what is wrong with an object; fields that nobody knows are."""
    if thing["apiVersion"].startswith("kubernetes.dask.org/"):
        return _of_dask(thing)
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def _of_dask(thing: dict[str, Any]) -> list[str]:
    body = {key: value for key, value in thing.items() if key not in ("apiVersion", "kind", "metadata")}
    errors = jsonschema.Draft202012Validator(_schema(thing["kind"], thing["apiVersion"])).iter_errors(body)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in errors]


@cache
def _schema(kind: str, api_version: str) -> dict[str, Any]:
    """Read the definition that is installed with the operator."""
    spec = importlib.util.find_spec("dask_kubernetes")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / _CRDS / f"{kind.lower()}.yaml"
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))[
        "spec"
    ]
    (schema,) = (
        each["schema"]["openAPIV3Schema"]
        for each in definition["versions"]
        if f"{definition['group']}/{each['name']}" == api_version
    )
    return strict(schema)


def strict(schema: object) -> object:
    """Make a JSON schema of a structural one, which refuses what an API server would drop without a word."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema:
        made["properties"] = {key: strict(value) for key, value in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    return made
