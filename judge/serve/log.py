"""Structured log: one JSON object per line. Prompts and images are never written to it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO


class Log:
    """Writes events to a stream, each with its fields.

    Args:
        stream: where to write; default: standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **fields}, ensure_ascii=True, default=str)
        stream = self._stream or sys.stdout
        try:
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError):  # a closed pipe must not fail the request that is being logged
            pass


class LoggingBridge(logging.Handler):
    """Writes warnings of libraries to the log: only the message, because a traceback may show values."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of Python's logging."""
        self._log("library", level=record.levelname, logger=record.name, message=record.getMessage()[:300])
