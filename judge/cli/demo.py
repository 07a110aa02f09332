"""`judge demo`: judge four freshly drawn scenes. Also `make demo` and `python -m judge.cli.demo`.

For each scene N it writes N-scene.png (the image that is judged), N.json (the verdict) and N.png (the verdict
drawn on the image). The truth about each scene is printed below its verdict, so the two can be compared.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from judge.cli.options import DEFAULT_MODEL, Model
from judge.cli.output import one_line_errors

if TYPE_CHECKING:
    from judge.types import Labels, Verdict


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    model: Model = DEFAULT_MODEL,
) -> None:
    """Judge four drawn scenes, and print each verdict next to the truth."""
    with one_line_errors():
        judge_examples(out, model)


def judge_examples(out: Path, model: str) -> None:
    """Judge the example scenes, print the verdicts and write the files.

    Raises:
        JudgeError: the model cannot be loaded.
    """
    from PIL import Image

    from judge.judge import Judge
    from judge.scenes.examples import find_examples

    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    judge = Judge(model)
    loaded = judge.backend
    print(f"loaded {loaded.model} in {time.perf_counter() - start:.1f} s\n")
    total = 0.0
    for number, (title, scene) in enumerate(find_examples(), 1):
        sample, image = scene.sample, Image.fromarray(scene.image)
        start = time.perf_counter()
        verdict = judge(image, prompt=sample.prompt, elements=sample.elements, id=f"demo-{number}")
        seconds = time.perf_counter() - start
        total += seconds
        image.save(out / f"{number}-scene.png")
        verdict.overlay().save(out / f"{number}.png")
        (out / f"{number}.json").write_text(verdict.model_dump_json(indent=2) + "\n", "utf-8")
        print(f"-- {number}. {title}: {sample.prompt!r}")
        print(format_verdict(verdict))
        print(format_truth(sample.labels))
        print(f"{seconds:.2f} s, drawn on {out / f'{number}.png'}\n")
    print(f"{number} verdicts in {total:.1f} s; images and JSON are in {out}/")


def format_verdict(verdict: Verdict) -> str:
    """Format a verdict as JSON for reading: 3 decimals, short lists on one line."""
    rounded = json.loads(verdict.model_dump_json(), parse_float=lambda text: round(float(text), 3))
    text = json.dumps(rounded, indent=2, ensure_ascii=False)
    return re.sub(r"[\[{][^\[\]{}]{0,140}[\]}]", lambda match: " ".join(match.group().split()), text)


def format_truth(truth: Labels) -> str:
    """Format the labels of a drawn scene on one line."""
    elements = ", ".join(f"{'+' if e.present else '-'} {e.name}" for e in truth.elements)
    defects = "; ".join(f"{d.explanation} at {[round(v) for v in d.box]}" for d in truth.defects) or "none"
    return f"truth: score {truth.score:.2f}; {elements}; defects: {defects}; {_format_degradation(truth)}"


def _format_degradation(truth: Labels) -> str:
    kind = truth.attributes["degradation"]
    return "not degraded" if kind == "none" else f"{truth.attributes['severity']} {kind}"


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(demo)
    app()
