"""Many ranks without a cluster: one process plays one rank, and nobody answers."""
