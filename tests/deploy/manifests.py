"""The objects of `deploy/kubernetes` as a cluster has them in the end: from kustomize, and from the operator."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tests.deploy.kustomize import Object, build, selected

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
MANIFEST = ROOT / "simsearch/runtime/clusters/manifest"
OVERLAYS = ("cpu", "gpu")


def applied(overlay: str) -> list[Object]:
    """List what is applied."""
    return build(FOLDER / "overlays" / overlay)


def running(objects: list[Object]) -> list[Object]:
    """List what is there once the Dask operator, by its own code, has made what a DaskCluster stands for."""
    from dask_kubernetes.operator.controller import controller

    (cluster,) = selected(objects, {"kind": "DaskCluster"})
    name, labels = cluster["metadata"]["name"], cluster["metadata"]["labels"]
    scheduler, worker = (copy.deepcopy(cluster["spec"][part]) for part in ("scheduler", "worker"))
    made = [
        controller.build_scheduler_deployment_spec(name, scheduler["spec"], {}, labels),
        controller.build_scheduler_service_spec(name, scheduler["service"], {}, labels),
        controller.build_worker_deployment_spec(f"{name}-default", "here", name, "0a1b", worker["spec"], {}, labels),
    ]
    return [each for each in objects if each is not cluster] + made


def templates(objects: list[Object]) -> dict[str, Object]:
    """Find the pods, by the names of what makes them."""
    return {each["metadata"]["name"]: each["spec"]["template"] for each in selected(objects, {"kind": "Deployment"})}


def containers(template: Object) -> list[Object]:
    """List the containers of a pod."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Tell whether a selector of labels takes a pod."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}, selector
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()
