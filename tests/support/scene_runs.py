"""Labelled images in the layout of the suite `scenes`, and runs over them, for tests of what reads runs."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from zlib import crc32

from PIL import Image
from random_backend import RandomBackend

from eval.runs.local import run_plan
from eval.runs.plan import Plan
from eval.runs.records import RecordedRun, load_runs
from eval.suites import load_suite
from judge.backends.base import Reply, Request
from judge.judge import Judge

HOSTILE = "<script>alert('x')</script> $\\frac{ \"&amp; ‮"


def write_scenes_folder(folder: Path, count: int, *, hostile: bool = False) -> Path:
    """Write images and rows.jsonl.

    Every fourth row has a defect; the image of every ninth row cannot be read. With `hostile`, prompts, ids
    and elements hold markup and formulas.
    """
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


class SeededFiller(RandomBackend):
    """A backend whose answers depend on the request and a seed only."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def _fill(self, request: Request) -> Reply:
        self.random = Random(crc32(repr(request.messages).encode()) + self.seed)
        return super()._fill(request)


def run_scenes(
    data: Path, out: Path, *, seed: int = 0, limit: int | None = None, rubric: str = "default"
) -> RecordedRun:
    """Judge a folder of `write_scenes_folder` and return the recorded run."""
    plan = Plan(load_suite("scenes"), data, limit=limit, batch=50)
    run_plan(plan, out, Judge(backend=SeededFiller(seed), rubric=rubric))
    return load_runs([out])[0]
