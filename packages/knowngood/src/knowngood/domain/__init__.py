"""The rules of rollback: values and pure functions, one noun a module."""
