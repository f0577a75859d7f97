"""Facts about this host: CPUs, control groups, processes and their identity, limits."""
