"""YAML: the system file, and documents that people write by hand."""

from knowngood.adapters.yaml.document import Document, read_document
from knowngood.adapters.yaml.example import write_commented_example
from knowngood.adapters.yaml.system_file import read_system_file

__all__ = ["Document", "read_document", "read_system_file", "write_commented_example"]
