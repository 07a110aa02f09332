"""Judges a few freshly drawn scenes with the embedded judge: `make demo`, or `python -m judge.cli.demo`.

Writes per scene into demo/: N-scene.png (what is judged), N.json (the verdict), N.png (the verdict drawn on
the picture). The truth of each scene is printed below its verdict, so that the judge can be judged.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path

from PIL import Image

from judge.errors import JudgeError
from judge.judge import EMBEDDED, Judge
from judge.scenes.examples import examples
from judge.types import Labels, Verdict


def pretty(verdict: Verdict) -> str:
    """The verdict's JSON for reading: numbers rounded, short lists on one line. The file has all digits."""
    rounded = json.loads(verdict.model_dump_json(), parse_float=lambda text: round(float(text), 3))
    text = json.dumps(rounded, indent=2, ensure_ascii=False)
    return re.sub(r"[\[{][^\[\]{}]{0,140}[\]}]", lambda match: " ".join(match.group().split()), text)


def told(truth: Labels) -> str:
    elements = ", ".join(f"{'+' if e.present else '-'} {e.name}" for e in truth.elements)
    defects = "; ".join(f"{d.explanation} at {[round(v) for v in d.box]}" for d in truth.defects) or "none"
    return f"truth: score {truth.score:.2f}; {elements}; defects: {defects}; {_degradation(truth)}"


def _degradation(truth: Labels) -> str:
    kind = truth.attributes["degradation"]
    return "not degraded" if kind == "none" else f"{truth.attributes['severity']} {kind}"


def run(out: Path, model: str) -> None:
    """Judge the examples. Raises `JudgeError` when the model cannot be loaded."""
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    judge = Judge(model)
    loaded = judge.backend
    print(f"loaded {loaded.model} in {time.perf_counter() - start:.1f} s\n")
    spent = 0.0
    for number, (title, scene) in enumerate(examples(), 1):
        picture = Image.fromarray(scene.image)
        start = time.perf_counter()
        verdict = judge(
            picture, prompt=scene.sample.prompt, elements=scene.sample.elements, id=f"demo-{number}"
        )
        seconds = time.perf_counter() - start
        spent += seconds
        picture.save(out / f"{number}-scene.png")
        verdict.overlay().save(out / f"{number}.png")
        (out / f"{number}.json").write_text(verdict.model_dump_json(indent=2) + "\n", "utf-8")
        print(f"-- {number}. {title}: {scene.sample.prompt!r}")
        print(pretty(verdict))
        print(told(scene.sample.labels))
        print(f"{seconds:.2f} s, drawn on {out / f'{number}.png'}\n")
    print(f"{number} verdicts in {spent:.1f} s; pictures and JSON are in {out}/")


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge a few drawn scenes.")
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--model", default=EMBEDDED)
    options = parser.parse_args()
    try:
        run(options.out, options.model)
    except JudgeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
