"""Reports: correct numbers, a page without external resources, and escaped text of the data."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_runs import run_scenes, write_scenes_folder
from typer.testing import CliRunner

from eval.cli.app import app
from eval.metrics.correlation import srcc
from eval.report.plot_style import shorten_label
from eval.report.plots import make_plots
from eval.report.rankings import correlate_rankings, rank_generators
from eval.report.reading import generalize_reason, read_report_data
from eval.report.report import write_report
from eval.report.score_plots import MAX_POINTS
from eval.report.selection import select_rows
from eval.runs.records import RecordedRun, load_runs
from eval.suites import load_suite
from judge.errors import InputError
from judge.scenes.dataset import write_clips

pytest.importorskip("matplotlib", reason="the extra eval is not installed")

COUNT = 45


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs over the same hostile data, with their report."""
    folder = tmp_path_factory.mktemp("report")
    data = write_scenes_folder(folder / "data", COUNT, hostile=True)
    for seed, name in ((0, "first"), (9, "<b>second")):
        run_scenes(data, folder / name, seed=seed)
    write_report(runs(folder), folder / "out", images=3)
    return folder


def runs(folder: Path) -> list[RecordedRun]:
    return load_runs([folder / "first", folder / "<b>second"])


class Page(HTMLParser):
    """The tags and the text of the page, as a browser parses them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "out" / "report.html").read_text(encoding="utf-8"))


def test_the_page_loads_no_external_resource(folder: Path, page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#")[:5] in ("data:", "#") or attributes[name].startswith("#")  # type: ignore[union-attr]
        assert not any(name.startswith("on") for name in attributes)
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import", text)


def test_text_of_the_data_is_escaped_everywhere(page: Page) -> None:
    text = " ".join(page.texts)
    assert "<script>alert('x')</script>" in text, "prompts are shown unchanged"
    assert "<b>second" in text, "names of runs are shown unchanged, in tables and in plots"


def test_the_page_has_all_sections_and_images(page: Page) -> None:
    sections = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    assert [s for s in sections if s] == [
        "measures", "agreement", "kinds", "calibration", "images", "unscored", "provenance"]  # fmt: skip
    linked = [a["href"] for tag, a in page.tags if tag == "a" and (a["href"] or "").startswith("#")]
    assert {f"#{s}" for s in sections if s} == set(linked)
    images = [a for tag, a in page.tags if tag == "img"]
    assert len(images) == 2 * (3 + 3)
    assert all(a["alt"] and a["src"].startswith("data:image/jpeg;base64,") for a in images)  # type: ignore[union-attr]
    plots = [a for tag, a in page.tags if tag == "figure"]
    assert len(plots) == 3 and all(len(a["aria-label"] or "") > 40 for a in plots)


def test_ids_in_the_page_are_unique_and_references_exist(folder: Path, page: Page) -> None:
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_plots_use_the_colours_of_the_page(folder: Path) -> None:
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "#0102" not in text and "var(--run-1)" in text and "fill: #000000" not in text


def test_plots_are_also_written_as_png(folder: Path) -> None:
    found = sorted(path.name for path in (folder / "out").iterdir())
    assert found == [
        "calibration.png",
        "kinds.png",
        "measures.json",
        "report.html",
        "rows.csv",
        "scatter.png",
    ]
    with Image.open(folder / "out" / "scatter.png") as image:
        assert image.width > 800 and image.getpixel((3, 3))[:3] == (255, 255, 255)


def test_rows_csv_has_a_line_for_each_row_and_run(folder: Path) -> None:
    with (folder / "out" / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * COUNT
    assert {row["status"] for row in rows} == {"scored", "unscored"}
    assert all(not cell.startswith("=") for row in rows for cell in row.values()), "no formulas"
    scored = [row for row in rows if row["run"] == "first" and row["predicted"]]
    value = srcc([float(r["predicted"]) for r in scored], [float(r["human"]) for r in scored]).value
    numbers = json.loads((folder / "out" / "measures.json").read_text())
    assert numbers["runs"][0]["measures"]["srcc"]["value"] == pytest.approx(value, abs=1e-6)


def test_unscored_rows_are_counted_with_their_reasons(folder: Path) -> None:
    data = read_report_data(runs(folder))
    for run in data.runs:
        assert run.count("unscored") == COUNT // 9 == sum(run.reasons.values())
        ((reason, examples),) = run.examples.items()
        assert "…" in reason and len(examples) == 3


def test_reasons_that_differ_only_in_names_and_numbers_are_counted_together() -> None:
    reasons = "image: '/a/b1.png' has 12 bytes", 'image: "/c.png" has 345 bytes'
    assert len(set(map(generalize_reason, reasons))) == 1


def test_rows_that_are_not_judged_yet_are_counted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    for name in ("manifest.json", "results.jsonl"):
        content = (folder / "first" / name).read_bytes()
        kept = b"".join(content.splitlines(keepends=True)[:30]) if name == "results.jsonl" else content
        (tmp_path / "half" / name).write_bytes(kept)
    data = read_report_data(load_runs([tmp_path / "half", folder / "first"]))
    assert [run.count("") for run in data.runs] == [COUNT - 30, 0]
    assert len(data.pairs(data.runs[0])[0]) < 30


def test_runs_over_different_rows_are_refused(folder: Path, tmp_path: Path) -> None:
    run_scenes(folder / "data", tmp_path / "fewer", limit=10)
    with pytest.raises(InputError, match="same rows"):
        read_report_data(load_runs([folder / "first", tmp_path / "fewer"]))


def test_a_run_over_videos_shows_a_frame_of_each(tmp_path: Path) -> None:
    list(write_clips(tmp_path / "data", 6, seed=1))
    run_scenes(tmp_path / "data", tmp_path / "run", rubric="video")
    text = write_report(load_runs([tmp_path / "run"]), tmp_path / "out", images=2).read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") >= 2 and "not in the data's folder" not in text


def test_a_report_without_the_image_files_still_has_the_numbers(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.jsonl").write_bytes((folder / "data" / "rows.jsonl").read_bytes())
    page = write_report(load_runs([folder / "first"], data), tmp_path / "out", images=2)
    text = page.read_text(encoding="utf-8")
    assert "the file is not in the data&#39;s folder" in text and "<img" not in text


def test_the_rows_with_the_worst_and_the_best_agreement_are_selected(folder: Path) -> None:
    data = read_report_data(runs(folder)[:1])
    selection, fitted = select_rows(data, data.runs[0], 4), data.fitted(data.runs[0])
    assert not isinstance(fitted, str)
    distance = np.abs(fitted - data.truth)
    others = [d for at, d in enumerate(distance) if at not in selection.worst and np.isfinite(d)]
    assert min(distance[selection.worst]) >= max(others)
    assert not set(selection.worst) & set(selection.best) and len(selection.best) == 4


def test_without_human_scores_the_lowest_and_highest_predictions_are_shown(tmp_path: Path) -> None:
    data = write_scenes_folder(tmp_path / "data", 12)
    rows = [json.loads(line) for line in (data / "rows.jsonl").read_text().splitlines()]
    bare = [{key: row[key] for key in ("id", "image", "prompt")} for row in rows]
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    text = write_report([run_scenes(data, tmp_path / "run")], tmp_path / "out").read_text(encoding="utf-8")
    assert "Lowest" in text and "Highest" in text and "no human scores" in text
    assert (tmp_path / "out" / "scores.png").is_file() and not (tmp_path / "out" / "scatter.png").exists()


def test_generators_are_ranked_with_intervals(folder: Path) -> None:
    data = read_report_data(runs(folder)[:1])
    data.generators = [f"maker {n % 3}" for n in range(COUNT)]
    values = np.array([float(n % 3) + 1 for n in range(COUNT)])
    ranked = rank_generators(data.generators, values)
    assert [(s.name, s.mean.value, s.count) for s in ranked] == [
        ("maker 2", 3.0, 15), ("maker 1", 2.0, 15), ("maker 0", 1.0, 15)]  # fmt: skip
    assert all(s.mean.interval is not None for s in ranked)
    assert correlate_rankings(ranked, ranked).value == 1.0
    assert "maker 2" in make_plots(data)["generators"].svg


def test_scores_that_are_always_too_high_are_recognised(folder: Path) -> None:
    data = read_report_data(runs(folder)[:1])
    run = data.runs[0]
    run.predicted = np.minimum(5.0, data.truth + 1)
    steps = data.score_steps(run)
    assert not isinstance(steps, str)
    assert all(s.predicted > (s.human.value or 0) for s in steps)
    assert isinstance(data.score_steps(run, count=40), str)


# -- The command ---------------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_prints_its_path(folder: Path, tmp_path: Path) -> None:
    arguments = ["report", str(folder / "first"), "--out", str(tmp_path / "out"), "--pictures", "0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out" / "report.html")
    assert "<img" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    missing = CliRunner().invoke(app, ["report", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert missing.exit_code == 2 and missing.stderr.startswith("error: run")


def test_a_scatter_plot_of_many_points_shows_their_density(folder: Path) -> None:
    data = read_report_data(runs(folder)[:1])
    random = np.random.default_rng(0)
    count = MAX_POINTS + 500
    data.truth = random.uniform(1, 5, count)
    data.runs[0].predicted = np.clip(data.truth + random.normal(0, 0.5, count), 1, 5)
    data.ids, data.generators = [str(n) for n in range(count)], [""] * count
    assert len(make_plots(data)["scatter"].svg) < 600_000


def test_labels_in_plots_are_cut_and_on_one_line() -> None:
    assert shorten_label("a\nb") == "a b" and len(shorten_label("x" * 99)) == 28


def test_the_page_shows_the_title_of_the_suite(page: Page) -> None:
    assert load_suite("scenes").title in " ".join(page.texts)
