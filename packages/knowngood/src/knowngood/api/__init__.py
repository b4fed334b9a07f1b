"""The control plane over HTTP: requests in, documents out; all that is decided is decided further in."""
