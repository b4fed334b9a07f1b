"""For tests, ours and those of adapter authors: in-memory ports, contract test classes, fault injection."""
