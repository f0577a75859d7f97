"""Where a sweep is started: this host, tmux, Slurm."""
