"""Where work runs: what is asked for becomes a `ClusterSpec`; each kind of cluster is opened by a module of its own."""
