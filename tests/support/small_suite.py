"""A small suite of images that a test writes, and a backend whose answers depend only on what it is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from zlib import crc32

from PIL import Image
from random_backend import RandomBackend

from eval.runs.local import run_plan
from eval.runs.plan import Plan
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.suite import Suite
from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.judge import Judge
from judge.types import ElementLabel

BATCH = 5
"""Rows judged together, in every run that is compared with another."""
BROKEN_EVERY = 7
"""One in this many rows has an image that cannot be read."""


def write_suite(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Write images with labels. Rows 3, 10, 17, ... name a file that is not an image."""
    folder.mkdir(parents=True)
    random = Random(seed)
    rows = []
    for n in range(count):
        file = folder / f"{n:04}.png"
        if n % BROKEN_EVERY == 3:
            file.write_bytes(b"no picture")
        else:
            Image.new("RGB", (24, 16), (random.randrange(256), 80, 10 * n % 256)).save(file)
        elements = {f"thing {n}": random.random() < 0.5, f"colour {n}": True}
        rows.append({"id": f"row-{n}", "file": file.name, "mos": round(random.uniform(0, 100), 2),
                     "elements": elements, "generator": f"maker {n % 3}"})  # fmt: skip
    (folder / "labels.json").write_text(json.dumps(rows))
    return folder


def read_suite(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
    """Read what `write_suite` wrote, as a suite's reader does."""
    for row in json.loads((data / "labels.json").read_text()):
        elements = [
            ElementLabel(name=name, present=present, kind=name.split()[0])
            for name, present in row["elements"].items()
        ]
        labels = GroundTruth(mos=row["mos"], elements=elements)
        prompt = ", ".join(row["elements"])
        yield SuiteSample(id=row["id"], image=str(data / row["file"]) if media else None, prompt=prompt,
                   labels=labels, generator=row["generator"])  # fmt: skip


SMALL = Suite("small", "Images of a test", "nowhere", read_suite, evaluate=lambda rows: {})


class DeterministicFiller(RandomBackend):
    """A backend that gives the same answer to the same request in the same batch.

    As with real models, the size of the batch and its first request change every answer.

    Args:
        seconds: pause per request.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        time.sleep(self.seconds * len(requests))
        self.batch_key = f"{len(requests)} {requests[0].messages}"
        return super().choose(requests)

    complete = choose

    def _fill(self, request: Request) -> Reply:
        self.random = Random(crc32(f"{self.batch_key} {request.messages}".encode()))
        return super()._fill(request)


def judge_in_child(data: Path, out: Path, seconds: float) -> None:
    """Judge the suite: what the processes do that tests kill."""
    run_plan(Plan(SMALL, data, batch=BATCH), out, Judge(backend=DeterministicFiller(seconds)))
