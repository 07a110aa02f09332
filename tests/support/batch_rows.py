"""What the tests of batch runs share: rows on three images, and a backend that kills its process."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from small_suite import DeterministicFiller

from judge.backends.base import Reply, Request
from judge.batch.reader import ResultsReader
from judge.batch.scoring import LocalWorker
from judge.errors import ReplyError
from judge.judge import Judge
from judge.pipeline.rows import read_rows
from judge.types import Sample

BATCH = 4
SETTINGS: dict[str, Any] = {"shard": [1, 1], "batch": BATCH}
"""Settings of a run, for its manifest."""


class CrashingFiller(DeterministicFiller):
    """A backend that kills its process once, at the first prompt that contains a word.

    Args:
        seconds: pause per request.
        word: the word; empty: never.
        marker: a file that is created at the crash, so that it happens once.
    """

    def __init__(self, seconds: float = 0.0, word: str = "", marker: str = "") -> None:
        super().__init__(seconds)
        self.word, self.marker = word, marker

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        has_word = any(self.word in request.messages[0]["content"][1]["text"] for request in requests)
        if self.word and has_word and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().choose(requests)

    complete = choose


def make_judge(**options: Any) -> Judge:
    return Judge(backend=CrashingFiller(**options))


def local_worker() -> LocalWorker:
    return LocalWorker(make_judge(), "score", BATCH)


def png(color: str = "teal", width: int = 8, height: int = 6) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def write_rows(folder: Path, count: int, name: str = "rows.jsonl") -> Path:
    """Write rows on three images."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(3):
        Image.new("RGB", (40, 30), (80 * n, 5, 5)).save(folder / f"{n}.png")
    rows = [{"id": f"row-{n}", "image": f"{n % 3}.png", "prompt": f"thing {n}"} for n in range(count)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def verdicts_by_id(lines: Iterable[str]) -> dict[str, Any]:
    """Verdicts by id, without what differs between runs. Fails if an id occurs twice."""
    verdicts: dict[str, Any] = {}
    for verdict in map(json.loads, lines):
        verdict["provenance"].pop("milliseconds")
        assert verdict["id"] not in verdicts
        verdicts[verdict["id"]] = verdict
    return verdicts


def read_verdicts(out: Path) -> dict[str, Any]:
    """The verdicts of a complete folder, by id."""
    return verdicts_by_id(ResultsReader(str(out)).lines())


def judge_directly(rows: Path) -> dict[str, Any]:
    """The verdicts that `Judge.many` gives on a file of rows, by id."""
    samples = [row for row in read_rows(rows) if isinstance(row, Sample)]
    verdicts = make_judge().many(samples, depth="score", batch=BATCH)
    return verdicts_by_id(verdict.model_dump_json() for verdict in verdicts)
