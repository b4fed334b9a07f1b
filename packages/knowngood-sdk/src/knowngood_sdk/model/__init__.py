"""Values that the data plane and the control plane share. Nothing here reads a clock, a file or a network."""
