"""System rollback for AI: the control plane, its adapters and the command line."""
