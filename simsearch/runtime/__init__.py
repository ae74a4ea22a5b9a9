"""Dask clusters: starting or finding one, the tasks that its workers do, and hearing what happens."""

from distributed import Client as Client

from simsearch.runtime.clusters.opening import open_cluster as open_cluster
from simsearch.runtime.clusters.spec import ClusterSpec as ClusterSpec
from simsearch.runtime.clusters.spec import resolve_cluster as resolve_cluster

__all__ = ["Client", "ClusterSpec", "open_cluster", "resolve_cluster"]
