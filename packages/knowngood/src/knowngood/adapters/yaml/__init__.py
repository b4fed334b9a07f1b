"""YAML: the system file, and documents that people write by hand."""

from knowngood.adapters.yaml.document import Document, read_document
from knowngood.adapters.yaml.example import write_commented_example
from knowngood.adapters.yaml.system_file import content_of, read_system_file, system_file_of

__all__ = [
    "Document",
    "content_of",
    "read_document",
    "read_system_file",
    "system_file_of",
    "write_commented_example",
]
