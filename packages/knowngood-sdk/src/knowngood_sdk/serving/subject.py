"""Subject: who is served, as the bytes by which sides are drawn and people are counted, alike everywhere."""

__all__ = ["subject_bytes"]


def subject_bytes(subject: object) -> bytes:
    """Return the UTF-8 bytes of a subject; what is neither text nor bytes (a number, a UUID) is taken by its text."""
    return subject if isinstance(subject, bytes) else str(subject).encode("utf-8", "surrogatepass")
