"""A suite of pictures that a test writes, and a judge whose answers depend on nothing but the question."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from zlib import crc32

from filler import Filler
from PIL import Image

from eval.runs.run import Plan, run
from eval.suites.base import Item, Suite, Truth
from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.judge import Judge
from judge.types import ElementLabel

BATCH = 5
"""Rows judged together, in every run that is compared with another."""
FLAWED = 7
"""Every so many rows there is one whose picture cannot be read."""


def write(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Pictures with labels; rows 3, 10, 17, ... name a picture that is none."""
    folder.mkdir(parents=True)
    random = Random(seed)
    rows = []
    for n in range(count):
        file = folder / f"{n:04}.png"
        if n % FLAWED == 3:
            file.write_bytes(b"no picture")
        else:
            Image.new("RGB", (24, 16), (random.randrange(256), 80, 10 * n % 256)).save(file)
        elements = {f"thing {n}": random.random() < 0.5, f"colour {n}": True}
        rows.append({"id": f"row-{n}", "file": file.name, "mos": round(random.uniform(0, 100), 2),
                     "elements": elements, "generator": f"maker {n % 3}"})  # fmt: skip
    (folder / "labels.json").write_text(json.dumps(rows))
    return folder


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
    for row in json.loads((data / "labels.json").read_text()):
        elements = [ElementLabel(name=k, present=v, kind=k.split()[0]) for k, v in row["elements"].items()]
        labels = Truth(mos=row["mos"], elements=elements)
        prompt = ", ".join(row["elements"])
        yield Item(id=row["id"], image=str(data / row["file"]) if media else None, prompt=prompt,
                   labels=labels, generator=row["generator"])  # fmt: skip


SMALL = Suite("small", "Pictures of a test", "nowhere", read, measure=lambda rows: {})


class Steady(Filler):
    """The same answer to the same question in the same company, as real models give it.

    Whoever is asked first in a batch, and how many are, changes every answer a little.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        time.sleep(self.seconds * len(requests))
        self.company = f"{len(requests)} {requests[0].messages}"
        return super().choose(requests)

    complete = choose

    def _fill(self, request: Request) -> Reply:
        self.random = Random(crc32(f"{self.company} {request.messages}".encode()))
        return super()._fill(request)


def judge_in_child(data: Path, out: Path, seconds: float) -> None:
    """What the processes do that tests kill."""
    run(Plan(SMALL, data, batch=BATCH), out, Judge(backend=Steady(seconds)))
