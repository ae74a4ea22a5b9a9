"""A step while it runs: the tasks on the cluster, who computes them, and those that take too long."""
