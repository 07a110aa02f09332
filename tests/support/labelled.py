"""Labelled pictures in the layout of drawn scenes, and runs over them, for tests of what reads runs."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from zlib import crc32

from filler import Filler
from PIL import Image

from eval.runs.records import Recorded, recorded
from eval.runs.run import Plan, run
from eval.suites import suite
from judge.backends.base import Reply, Request
from judge.judge import Judge

HOSTILE = "<script>alert('x')</script> $\\frac{ \"&amp; ‮"


def write(folder: Path, count: int, *, hostile: bool = False) -> Path:
    """Pictures and rows.jsonl; every fourth has a defect, every ninth no readable picture."""
    (folder / "images").mkdir(parents=True)
    random, rows = Random(3), []
    for n in range(count):
        name = f"images/{n:03}.png"
        if n % 9 == 8:
            (folder / name).write_bytes(b"no picture")
        else:
            Image.new("RGB", (40, 20), (random.randrange(256), 90, 5 * n % 256)).save(folder / name)
        elements = [{"name": f"{kind} {n}", "present": random.random() < 0.6, "kind": kind}
                    for kind in ("object", "count")]  # fmt: skip
        defects = [{"kind": "fused", "box": [4, 2, 24, 12], "severity": "critical"}] if n % 4 == 0 else []
        if hostile:
            elements[0] |= {"name": f"{HOSTILE} {n}", "kind": HOSTILE}
        labels = {"score": round(random.uniform(1, 5), 2), "elements": elements, "defects": defects}
        prompt = f"{HOSTILE} {n}" if hostile else f"object {n} and count {n}"
        rows.append({"id": f"{'=' if hostile else ''}row-{n}", "image": name, "prompt": prompt,
                     "labels": labels})  # fmt: skip
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


class Seeded(Filler):
    """The same answer to the same question; other seeds answer otherwise."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def _fill(self, request: Request) -> Reply:
        self.random = Random(crc32(repr(request.messages).encode()) + self.seed)
        return super()._fill(request)


def judged(
    data: Path, out: Path, *, seed: int = 0, limit: int | None = None, rubric: str = "default"
) -> Recorded:
    """A run over such a folder."""
    run(Plan(suite("scenes"), data, limit=limit, batch=50), out, Judge(backend=Seeded(seed), rubric=rubric))
    return recorded([out])[0]
