"""Signing: Ed25519 keys in files that only their owner reads."""

from knowngood.adapters.signing.key_file import KeyFile, make_key, read_key
from knowngood.adapters.signing.key_folder import ROOTS, KeyFolder

__all__ = ["ROOTS", "KeyFile", "KeyFolder", "make_key", "read_key"]
