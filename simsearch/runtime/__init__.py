"""Dask clusters: finding or starting one, giving it tasks and models, hearing what happens."""

from distributed import Client as Client

from simsearch.runtime.cluster import open_cluster as open_cluster

__all__ = ["Client", "open_cluster"]
