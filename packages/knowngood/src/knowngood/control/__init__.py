"""The control plane's verbs, one a module. They decide and record; what serves traffic never waits for them."""
