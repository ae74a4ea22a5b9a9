"""Dask clusters: starting or finding one, the tasks that its workers do, and hearing what happens."""

from distributed import Client as Client

from simsearch.runtime.cluster import open_cluster as open_cluster

__all__ = ["Client", "open_cluster"]
