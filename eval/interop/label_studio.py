"""Export a run for Label Studio: a list of tasks with predictions, and the labelling interface they fit.

FILE is the list of tasks. Next to it, FILE with the suffix `.config.xml` is the labelling interface.
`eval.interop.label_import` reads the corrected annotations back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from eval.interop.export_files import ExportResult, image_name, json_list, open_output, to_xywh
from eval.runs.records import RecordedRun
from eval.suites.shared.samples import JudgedSample, SuiteSample
from judge.errors import InputError
from judge.types import Family, Severity

NO_ELEMENTS = "none of these"
"""The choice for an image that shows no element.

Without it, Label Studio does not tell "no element is present" from "not answered".
"""
LOCAL_FILES = "/data/local-files/?d="
"""Prefix at which Label Studio serves local files, if LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED is set."""


def export_label_studio(run: RecordedRun, out: Path, url: str | None) -> ExportResult:
    """Write the tasks and the labelling interface.

    Args:
        run: the run.
        out: the JSON file of the tasks.
        url: prefix of the images' paths below the data's folder; None: `LOCAL_FILES`.
    """
    kinds: dict[str, None] = dict.fromkeys(_kinds_of_rubric(run))
    images = regions = unjudged = 0
    config = out.with_suffix(".config.xml")
    with open_output(out) as file, json_list(file) as add:
        for row in run.judged_rows(media=True):
            verdict: Any = row.verdict
            if verdict["size"] is None:
                unjudged += 1
                continue
            add(_make_task(row, run, url))
            kinds |= dict.fromkeys(defect["kind"] for defect in verdict["defects"])
            images += 1
            regions += len(verdict["defects"])
    with open_output(config) as file:
        file.write(_make_config(list(kinds)))
    return ExportResult((out, config), images, regions, unjudged)


def _kinds_of_rubric(run: RecordedRun) -> list[str]:
    """Return the kinds of defect of the run's rubric; none if the rubric cannot be loaded by its name."""
    from judge.rubrics.rubric import Rubric

    try:
        question = Rubric.load(run.rubric).defects
    except InputError:
        return []
    return [kind for group in question.kinds.values() for kind in group] if question else []


def _make_config(kinds: list[str]) -> str:
    """Return the labelling interface as XML."""
    labels = "\n".join(f"    <Label value={quoteattr(kind)}/>" for kind in kinds)

    def choices(name: str, values: tuple[str, ...]) -> str:
        inner = "".join(f"<Choice value={quoteattr(value)}/>" for value in values)
        head = f'<Choices name="{name}" toName="image" perRegion="true" choice="single-radio">'
        return f"  {head}{inner}</Choices>"

    return f"""<View>
  <Header value="$prompt"/>
  <Image name="image" value="$image" zoom="true"/>
  <RectangleLabels name="region" toName="image">
{labels}
  </RectangleLabels>
{choices("family", get_args(Family))}
{choices("severity", get_args(Severity))}
  <TextArea name="explanation" toName="image" perRegion="true" maxSubmissions="1" editable="true"/>
  <Header value="Which of these does the image show?"/>
  <Choices name="elements" toName="image" choice="multiple" value="$elements"/>
  <Header value="Score, 1 (worst) to 5 (best)"/>
  <Number name="score" toName="image" min="1" max="5" step="0.01"/>
</View>
"""


def _make_task(row: JudgedSample, run: RecordedRun, url: str | None) -> dict[str, Any]:
    """Return the task of a row with the verdict as its prediction."""
    verdict: Any = row.verdict
    sample, provenance = row.sample, verdict["provenance"]
    names = [element["name"] for element in verdict["elements"]]
    data = {
        "image": _image_address(sample, image_name(sample, run.data), url),
        "prompt": sample.prompt,
        "elements": [{"value": value} for value in ([*names, NO_ELEMENTS] if names else [])],
        "id": sample.id,
        "file": str(Path(sample.image).resolve()) if isinstance(sample.image, str) else "",
        "generator": sample.generator,
    }
    results: list[dict[str, Any]] = []
    for number, defect in enumerate(verdict["defects"], 1):
        results += _region_results(f"region-{number}", defect, verdict["size"])
    if names:
        # People mark what the image shows, wanted or not.
        present = [e["name"] for e in verdict["elements"] if e["present"] == e.get("expected", True)]
        results.append(_make_result("elements", "choices", {"choices": present or [NO_ELEMENTS]}))
    if verdict["score"] is not None:
        results.append(_make_result("score", "number", {"number": round(verdict["score"], 2)}))
    adapter = provenance["adapter"]
    confidences = [defect["confidence"] for defect in verdict["defects"]]
    prediction = {
        "model_version": provenance["model"] + (f" + {adapter}" if adapter else ""),
        "score": min(confidences, default=1.0),
        "result": results,
    }
    return {"data": data, "predictions": [prediction]}


def _image_address(sample: SuiteSample, name: str, url: str | None) -> str:
    """Return the address at which Label Studio finds an image."""
    if url is not None:
        return url + quote(name)
    return LOCAL_FILES + quote(str(Path(sample.image).resolve())) if isinstance(sample.image, str) else ""


def _region_results(
    region_id: str, defect: Mapping[str, Any], size: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    """Yield the results of one region: its box in percent, its family, severity and explanation."""
    width, height = size
    x, y, w, h = to_xywh(defect["box"])
    sides = zip("x y width height".split(), (x, y, w, h), (width, height, width, height), strict=True)
    box = {side: 100 * value / total for side, value, total in sides} | {"rotation": 0}
    region = {"id": region_id, "original_width": width, "original_height": height, "image_rotation": 0}
    answers = (
        ("region", "rectanglelabels", {"rectanglelabels": [defect["kind"]]}),
        ("family", "choices", {"choices": [defect["family"]]}),
        ("severity", "choices", {"choices": [defect["severity"]]}),
        ("explanation", "textarea", {"text": [defect["explanation"]]}),
    )
    for control, kind, value in answers:
        if value != {"text": [""]}:
            result = _make_result(control, kind, box | value) | region
            yield result | ({"score": defect["confidence"]} if control == "region" else {})


def _make_result(control: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": control, "to_name": "image", "type": kind, "value": value}
