"""Traffic and telemetry of replicas that are connected to this control plane over the network."""
