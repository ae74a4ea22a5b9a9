"""Pods of Kubernetes, through Dask's operator: a DaskCluster for each run, with certificates of its own."""

from __future__ import annotations

import importlib
import os
import secrets
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from distributed import Client, Security
from distributed.versions import VersionMismatchWarning

from simsearch.errors import ClusterError, ConfigError, SimSearchError
from simsearch.runtime.clusters.dask_cluster import (
    CLUSTER_LABEL,
    COMPONENT_LABEL,
    PORT,
    fill_template,
    find_trouble,
    is_ready,
    make_secret,
    read_template,
)
from simsearch.runtime.clusters.losing import hushed, lost_told
from simsearch.runtime.clusters.starting import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simsearch.runtime.clusters.dask_cluster import Object
    from simsearch.runtime.clusters.spec import ClusterSpec
    from simsearch.runtime.events import Observer

_POLL_S = 1.0
_CONNECT_S = 30
_GONE = 404
_REMEDIES = {
    401: "log in to the cluster again",
    403: "ask for the rights in deploy/kubernetes/base/role.yaml, or name a namespace where you have them",
    _GONE: "install Dask's operator in the cluster: https://kubernetes.dask.org",
}
_STEP = "start of pods"


@contextmanager
def opened(spec: ClusterSpec, observe: Observer) -> Iterator[Client]:
    """Have the operator start a scheduler and workers, which end with the run.

    KubeCluster of dask-kubernetes is not used: it speaks to schedulers over ``tcp://`` only.
    """
    name = f"simsearch-{secrets.token_hex(4)}"
    wanted = fill_template(read_template(spec.manifest), name, spec)
    api = _connect(spec.namespace)
    with _made(api, wanted) as security:
        patience = Patience(_STEP, wanted["spec"]["worker"]["replicas"], spec.wait, _POLL_S, observe)

        def none_came(what: str) -> ClusterError:
            reason = _trouble(api, name) or "nothing that Kubernetes tells of"
            return ClusterError(
                f"expected {what} of DaskCluster {name} in namespace {api.namespace} within {spec.wait:.0f} s, "
                f"got {reason}: mend that, or set wait to more seconds"
            )

        patience.until(lambda: any(map(is_ready, _pods(api, name, "scheduler"))), lambda: none_came("a scheduler"))
        with hushed() as hush, _reached(api, name) as address, _client(address, security) as client:
            patience.for_workers(client, lambda: none_came("workers"))
            hush()  # workers are elsewhere, and a lost scheduler is told of in our words
            with lost_told(client, lambda: _lost(api, name)):
                yield client


def _lost(api: Any, name: str) -> ClusterError:  # noqa: ANN401  kr8s.Api
    reason = _trouble(api, name) or "no connection"
    return ClusterError(
        f"expected the scheduler of DaskCluster {name} to go on answering, got {reason}: run the same command again"
    )


def _library(module: str = "kr8s") -> Any:  # noqa: ANN401  which is not always installed
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            "expected what --cluster kubernetes needs, got no kr8s: pip install 'simsearch[kubernetes]'"
        ) from error


def _connect(namespace: str | None) -> Any:  # noqa: ANN401  kr8s.Api
    kr8s = _library()
    try:
        with _asked("an API server of Kubernetes that answers"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Kubernetes version", category=UserWarning)
            # Named, as the library keeps what it found for as long as nothing else is asked for.
            return kr8s.api(namespace=namespace, kubeconfig=os.environ.get("KUBECONFIG"))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, SimSearchError):
            raise
        raise ClusterError(
            f"expected a kubeconfig that says where Kubernetes is, got {' '.join(str(error).split())}: set KUBECONFIG, "
            "or see whether `kubectl get pods` works"
        ) from error


@contextmanager
def _asked(what: str) -> Iterator[None]:
    """Tell in one line what Kubernetes refuses."""
    kr8s, httpx = _library(), _library("httpx")
    try:
        yield
    except kr8s.ServerError as error:
        code = error.response.status_code if error.response is not None else 0
        remedy = _REMEDIES.get(code, "see what `kubectl get events` says")
        raise ClusterError(f"expected {what}, got {code}, {' '.join(str(error).split())}: {remedy}") from error
    except (httpx.HTTPError, kr8s.APITimeoutError, OSError) as error:
        if isinstance(error, SimSearchError):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(
            f"expected {what}, got {said}: see whether `kubectl get pods` works with the same KUBECONFIG"
        ) from error


@contextmanager
def _made(api: Any, wanted: Object) -> Iterator[Security]:  # noqa: ANN401  kr8s.Api
    """Make the DaskCluster and its certificates, and delete both in the end: the operator's objects belong to them."""
    kinds = _library("kr8s.objects")
    name = wanted["metadata"]["name"]
    cluster = kinds.new_class("DaskCluster", wanted["apiVersion"])(wanted, namespace=api.namespace, api=api)
    security = Security.temporary()
    with _asked(f"to make a DaskCluster in namespace {api.namespace}"):
        cluster.create()
    try:
        secret = make_secret(name, cluster.raw.to_dict(), security.tls_client_cert, security.tls_client_key)
        with _asked(f"to make the secret of DaskCluster {name} in namespace {api.namespace}"):
            kinds.Secret(secret, namespace=api.namespace, api=api).create()
        yield security
    finally:
        # Not found: somebody else has deleted it.
        with _asked(f"to delete DaskCluster {name} in namespace {api.namespace}"), suppress(_library().NotFoundError):
            cluster.delete()


def _pods(api: Any, name: str, component: str | None = None) -> list[Object]:  # noqa: ANN401  kr8s.Api
    labels = {CLUSTER_LABEL: name} | ({COMPONENT_LABEL: component} if component else {})
    with _asked(f"to see pods in namespace {api.namespace}"):
        return [
            each.raw.to_dict()
            for each in api.get(_library("kr8s.objects").Pod, namespace=api.namespace, label_selector=labels)
        ]


def _trouble(api: Any, name: str) -> str:  # noqa: ANN401  kr8s.Api
    """Find out what keeps the pods of a cluster from coming up."""
    pods = _pods(api, name)
    with _asked(f"to see events in namespace {api.namespace}"):
        events = [each.raw.to_dict() for each in api.get(_library("kr8s.objects").Event, namespace=api.namespace)]
    found = find_trouble(pods, [each for each in events if each["involvedObject"]["name"].startswith(name)])
    return found or ("" if pods else "no pod (does Dask's operator run?)")


@contextmanager
def _reached(api: Any, name: str) -> Iterator[str]:  # noqa: ANN401  kr8s.Api
    """Find the way to the scheduler: by its name from another pod, from elsewhere through the API server."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        yield f"tls://{name}-scheduler.{api.namespace}:{PORT}"
        return
    pod = next(pod for pod in _pods(api, name, "scheduler") if is_ready(pod))
    with _library("kr8s.objects").Pod(pod, api=api).portforward(PORT, local_port="auto") as port:
        yield f"tls://127.0.0.1:{port}"


@contextmanager
def _client(address: str, security: Security) -> Iterator[Client]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # compared by us
            client = Client(address, security=security, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"expected the scheduler's pod to answer at {address}, got {type(error).__name__}: see what "
            "`kubectl logs` says of it, and whether a NetworkPolicy lets you in"
        ) from error
    with client:
        yield client
