"""Logs: a line is a JSON object with the request and the rollback that it belongs to, or a text for people."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from knowngood.api.observed import REQUEST_ID
from knowngood.verbs.incident import INCIDENT

__all__ = ["write_logs"]

_OURS = ("knowngood", "knowngood_sdk", "uvicorn", "uvicorn.error")


def write_logs(form: str) -> None:
    """
    Write log lines to standard error.

    Args:
        form: ``json`` or ``text``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_belonging)
    if form == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(message)s%(levelname)s%(name)s%(request_id)s%(incident_id)s",
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="at",
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _belonging(record: logging.LogRecord) -> bool:
    vars(record).pop("color_message", None)  # uvicorn's second copy of its message
    record.request_id = REQUEST_ID.get()
    record.incident_id = INCIDENT.get()
    return True
