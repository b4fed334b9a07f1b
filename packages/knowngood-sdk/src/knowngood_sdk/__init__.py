"""The data plane of knowngood: what runs inside and beside a model server."""
