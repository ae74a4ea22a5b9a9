"""What Dask's operator is asked for, and what Kubernetes says of the pods that it makes: values, without a cluster."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from simsearch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from simsearch.runtime.clusters.spec import ClusterSpec

Object = dict[str, Any]

PORT = 8786
"""Of the scheduler, in the manifest."""
CLUSTER_LABEL, COMPONENT_LABEL = "dask.org/cluster-name", "dask.org/component"
"""With which the operator labels pods."""

_OURS = Path(__file__).parent / "manifest" / "dask-cluster.yaml"
_OWNER = {"app.kubernetes.io/managed-by": "simsearch"}
_REQUESTS: Object = {"cpu": "1", "memory": "3Gi"}  # of two tasks one computes, on one core, and one reads
_LIMITS: Object = {"cpu": "2", "memory": "3Gi"}
_PLACEHOLDER = "set-in-settings"
_TLS = "tls"  # volume with the certificates
_NORMAL = frozenset({"ContainerCreating", "PodInitializing"})


def read_template(path: Path | None = None) -> Object:
    """Read the DaskCluster of a file, which may hold other objects as well.

    Parameters
    ----------
    path : Path, optional
        By default the one that comes with simsearch.

    Raises
    ------
    ConfigError
        If the file cannot be read, or does not hold one DaskCluster whose pods mount certificates.
    """
    place = path or _OURS
    try:
        objects = list(yaml.safe_load_all(place.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{place}: expected a manifest in YAML, got {type(error).__name__}: {reason}") from error
    found = [each for each in objects if isinstance(each, dict) and each.get("kind") == "DaskCluster"]
    if len(found) != 1:
        raise ConfigError(
            f"{place}: expected one DaskCluster, got {len(found)}: write one such as "
            "`kubectl kustomize deploy/kubernetes/overlays/cpu` shows"
        )
    template: Object = found[0]
    try:
        pods = [template["spec"][part]["spec"] for part in ("scheduler", "worker")]
        has_key = all(any(_is_key(volume) for volume in pod["volumes"]) for pod in pods)
        has_containers = all(pod["containers"][0]["image"] for pod in pods) and template["spec"]["scheduler"]["service"]
    except (KeyError, IndexError, TypeError):
        has_key = has_containers = False
    if not (has_key and has_containers):
        raise ConfigError(
            f"{place}: expected scheduler and worker with containers and a volume {_TLS} of a secret, got others: "
            f"begin with {_OURS}"
        )
    return template


def fill_template(template: Object, name: str, spec: ClusterSpec) -> Object:
    """Make the DaskCluster of one run.

    Parameters
    ----------
    template : dict
        What `read_template` gives.
    name : str
        Of the run, with which everything is named: the secret with its certificates is NAME-tls.
    spec : ClusterSpec
        Workers, image, memory and cores, where they are named.

    Raises
    ------
    ConfigError
        If no image is named.
    """
    made = copy.deepcopy(template)
    scheduler, worker = made["spec"]["scheduler"], made["spec"]["worker"]
    made["metadata"] = {"name": name, "labels": template.get("metadata", {}).get("labels", {}) | _OWNER}
    scheduler["service"]["selector"] = {CLUSTER_LABEL: name, COMPONENT_LABEL: "scheduler"}
    worker["replicas"] = spec.workers or worker.get("replicas", 1)
    for pod in (scheduler["spec"], worker["spec"]):
        for volume in filter(_is_key, pod["volumes"]):
            volume["secret"]["secretName"] = secret_name(name)
        container = pod["containers"][0]
        container["image"] = spec.image or container["image"]
        if container["image"] == _PLACEHOLDER:
            raise ConfigError(
                "expected the image of simsearch for the pods, got none: build one as deploy/docker/README.md says, "
                "and name it with SIMSEARCH_CLUSTER_IMAGE, or as image in a FILE.yaml for --cluster"
            )
    container = worker["spec"]["containers"][0]
    container["resources"] = _resources(container.get("resources", {}), spec)
    address = {"name": "DASK_SCHEDULER_ADDRESS", "value": f"tls://{name}-scheduler:{PORT}"}
    container["env"] = [each for each in container.get("env", []) if each["name"] != address["name"]] + [address]
    return made


def make_secret(name: str, owner: Object, certificate: str, key: str) -> Object:
    """Make the secret with the certificates of one run, which goes when the DaskCluster does.

    Parameters
    ----------
    name : str
        Of the run.
    owner : dict
        The DaskCluster, as Kubernetes gave it back.
    certificate, key : str
        As PEM.
    """
    reference = {part: owner[part] for part in ("apiVersion", "kind")} | {"name": name, "uid": owner["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": secret_name(name), "labels": dict(_OWNER), "ownerReferences": [reference]},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    }


def secret_name(name: str) -> str:
    """Name the secret with the certificates of a run."""
    return f"{name}-tls"


def is_ready(pod: Object) -> bool:
    """Tell whether a pod runs and answers its probes."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def find_trouble(pods: Iterable[Object], events: Iterable[Object]) -> str:
    """Say in the words of Kubernetes what keeps pods from coming up; empty if it says nothing.

    Examples
    --------
    >>> waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    >>> pod = {"metadata": {"name": "w"}, "status": {"containerStatuses": [{"state": {"waiting": waiting}}]}}
    >>> find_trouble([pod], [])
    'pod w: ImagePullBackOff: no such image'
    """
    warned = [each for each in events if each.get("type") == "Warning"]
    newest = sorted(warned, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    told = [*_waiting(pods), *map(_words, reversed(newest))]
    return " ".join(told[0].split()) if told else ""


def _words(event: Object) -> str:
    thing = event["involvedObject"]
    return f"{thing['kind'].lower()} {thing['name']}: {event['reason']}: {event['message']}"


def _waiting(pods: Iterable[Object]) -> Iterator[str]:
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses", []):
            waiting = status.get("state", {}).get("waiting")
            if waiting and waiting.get("reason") not in _NORMAL:
                why = waiting.get("message", "")
                yield f"pod {pod['metadata']['name']}: {waiting.get('reason')}" + (f": {why}" if why else "")


def _is_key(volume: Object) -> bool:
    return volume["name"] == _TLS and "secret" in volume


def _resources(said: Object, spec: ClusterSpec) -> Object:
    """Complete what a worker gets; memory is no more than what is reserved, or the node may run out of it."""
    named: Object = {}
    if spec.memory:
        named["memory"] = str(spec.memory)
    if spec.cores:
        named["cpu"] = str(spec.cores)
    return {
        "requests": _REQUESTS | said.get("requests", {}) | named,
        "limits": _LIMITS | said.get("limits", {}) | named,
    }
