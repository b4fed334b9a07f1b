"""Adapters: one package for each technology, each speaking only its own library, registered by entry points."""
