"""Traffic and telemetry of replicas on this host, through their folders and their agents' sockets."""
