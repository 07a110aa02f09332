"""The report: right numbers, one file that loads nothing, and nothing of the data's taken as markup."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import judged, write
from PIL import Image
from typer.testing import CliRunner

from eval import cli
from eval.metrics.agreement import srcc
from eval.metrics.significance import plcc_difference, share_difference, srcc_difference
from eval.report import facts as reading
from eval.report import report
from eval.report.facts import alike, collect
from eval.report.plots import short
from eval.runs.records import Recorded, recorded
from eval.suites import suite
from judge.errors import InputError
from judge.scenes.dataset import write_clips

pytest.importorskip("matplotlib", reason="the extra eval is not installed")

COUNT = 45


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs over the same hostile data, with their report."""
    folder = tmp_path_factory.mktemp("report")
    data = write(folder / "data", COUNT, hostile=True)
    for seed, name in ((0, "first"), (9, "<b>second")):
        judged(data, folder / name, seed=seed)
    report(runs(folder), folder / "out", pictures=3)
    return folder


def runs(folder: Path) -> list[Recorded]:
    return recorded([folder / "first", folder / "<b>second"])


class Page(HTMLParser):
    """What a browser would make of the page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "out" / "report.html").read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_anywhere(folder: Path, page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#")[:5] in ("data:", "#") or attributes[name].startswith("#")  # type: ignore[union-attr]
        assert not any(name.startswith("on") for name in attributes)
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#)|@import", text)


def test_what_comes_from_the_data_is_text_everywhere(page: Page) -> None:
    shown = " ".join(page.words)
    assert "<script>alert('x')</script>" in shown, "prompts are shown as they are"
    assert "<b>second" in shown, "so are names of runs, in tables and in plots"


def test_every_section_and_a_picture_of_each_agreement_is_there(page: Page) -> None:
    sections = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    assert [s for s in sections if s] == [
        "measures", "agreement", "kinds", "calibration", "pictures", "unscored", "made"]  # fmt: skip
    linked = [a["href"] for tag, a in page.tags if tag == "a" and (a["href"] or "").startswith("#")]
    assert {f"#{s}" for s in sections if s} == set(linked)
    pictures = [a for tag, a in page.tags if tag == "img"]
    assert len(pictures) == 2 * (3 + 3)
    assert all(a["alt"] and a["src"].startswith("data:image/jpeg;base64,") for a in pictures)  # type: ignore[union-attr]
    plots = [a for tag, a in page.tags if tag == "figure"]
    assert len(plots) == 3 and all(len(a["aria-label"] or "") > 40 for a in plots)


def test_ids_of_one_page_are_unique_and_its_references_exist(folder: Path, page: Page) -> None:
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(ids)


def test_plots_follow_the_colours_of_the_page(folder: Path) -> None:
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "#0102" not in text and "var(--run-1)" in text and "fill: #000000" not in text


def test_plots_are_written_as_png_too(folder: Path) -> None:
    found = sorted(path.name for path in (folder / "out").iterdir())
    assert found == [
        "calibration.png",
        "kinds.png",
        "measures.json",
        "report.html",
        "rows.csv",
        "scatter.png",
    ]
    with Image.open(folder / "out" / "scatter.png") as picture:
        assert picture.width > 800 and picture.getpixel((3, 3))[:3] == (255, 255, 255)


def test_the_table_has_a_line_for_each_row_and_run(folder: Path) -> None:
    with (folder / "out" / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * COUNT
    assert {row["status"] for row in rows} == {"scored", "unscored"}
    assert all(not cell.startswith("=") for row in rows for cell in row.values()), "a spreadsheet's formula"
    mine = [row for row in rows if row["run"] == "first" and row["predicted"]]
    value = srcc([float(r["predicted"]) for r in mine], [float(r["human"]) for r in mine]).value
    numbers = json.loads((folder / "out" / "measures.json").read_text())
    assert numbers["runs"][0]["measures"]["srcc"]["value"] == pytest.approx(value, abs=1e-6)


def test_unscored_rows_are_counted_with_their_reasons(folder: Path) -> None:
    facts = collect(runs(folder))
    for run in facts.runs:
        assert run.count("unscored") == COUNT // 9 == sum(run.reasons.values())
        ((reason, examples),) = run.examples.items()
        assert "…" in reason and len(examples) == 3


def test_reasons_that_differ_in_names_and_numbers_are_one() -> None:
    assert alike("image: '/a/b1.png' has 12 bytes") == alike('image: "/c.png" has 345 bytes')


def test_a_run_that_is_not_done_says_how_many_are_left(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    for name in ("manifest.json", "results.jsonl"):
        content = (folder / "first" / name).read_bytes()
        kept = b"".join(content.splitlines(keepends=True)[:30]) if name == "results.jsonl" else content
        (tmp_path / "half" / name).write_bytes(kept)
    facts = collect(recorded([tmp_path / "half", folder / "first"]))
    assert [run.count("") for run in facts.runs] == [COUNT - 30, 0]
    assert len(facts.pairs(facts.runs[0])[0]) < 30


def test_runs_over_other_rows_are_refused(folder: Path, tmp_path: Path) -> None:
    judged(folder / "data", tmp_path / "fewer", limit=10)
    with pytest.raises(InputError, match="same rows"):
        collect(recorded([folder / "first", tmp_path / "fewer"]))


def test_a_run_over_videos_shows_a_frame_of_each(tmp_path: Path) -> None:
    list(write_clips(tmp_path / "data", 6, seed=1))
    judged(tmp_path / "data", tmp_path / "run", rubric="video")
    text = report(recorded([tmp_path / "run"]), tmp_path / "out", pictures=2).read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") >= 2 and "not where the data is now" not in text


def test_pictures_that_are_gone_leave_the_numbers(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.jsonl").write_bytes((folder / "data" / "rows.jsonl").read_bytes())
    page = report(recorded([folder / "first"], data), tmp_path / "out", pictures=2)
    text = page.read_text(encoding="utf-8")
    assert "the file is not where the data is now" in text and "<img" not in text


def test_worst_and_best_are_what_they_are_called(folder: Path) -> None:
    facts = collect(runs(folder)[:1])
    choice, fitted = reading.chosen(facts, facts.runs[0], 4), facts.fitted(facts.runs[0])
    assert not isinstance(fitted, str)
    distance = np.abs(fitted - facts.truth)
    others = [d for at, d in enumerate(distance) if at not in choice.worst and np.isfinite(d)]
    assert min(distance[choice.worst]) >= max(others)
    assert not set(choice.worst) & set(choice.best) and len(choice.best) == 4


def test_without_human_scores_the_extremes_are_shown(tmp_path: Path) -> None:
    data = write(tmp_path / "data", 12)
    rows = [json.loads(line) for line in (data / "rows.jsonl").read_text().splitlines()]
    bare = [{key: row[key] for key in ("id", "image", "prompt")} for row in rows]
    (data / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    text = report([judged(data, tmp_path / "run")], tmp_path / "out").read_text(encoding="utf-8")
    assert "Lowest" in text and "Highest" in text and "no human scores" in text
    assert (tmp_path / "out" / "scores.png").is_file() and not (tmp_path / "out" / "scatter.png").exists()


def test_generators_are_ranked_with_intervals(folder: Path) -> None:
    facts = collect(runs(folder)[:1])
    facts.generators = [f"maker {n % 3}" for n in range(COUNT)]
    values = np.array([float(n % 3) + 1 for n in range(COUNT)])
    ranked = reading.ranking(facts, values)
    assert [(s.name, s.mean.value, s.count) for s in ranked] == [
        ("maker 2", 3.0, 15), ("maker 1", 2.0, 15), ("maker 0", 1.0, 15)]  # fmt: skip
    assert all(s.mean.interval is not None for s in ranked)
    assert reading.agreement_of_rankings(ranked, ranked).value == 1.0
    from eval.report.plots import plots

    assert "maker 2" in plots(facts)["generators"].svg


def test_a_score_that_is_always_too_kind_is_seen_to_be(folder: Path) -> None:
    facts = collect(runs(folder)[:1])
    run = facts.runs[0]
    run.predicted = np.minimum(5.0, facts.truth + 1)
    steps = reading.score_steps(facts, run)
    assert not isinstance(steps, str)
    assert all(s.predicted > (s.human.value or 0) for s in steps)
    assert isinstance(reading.score_steps(facts, run, count=40), str)


# -- Is the difference real? ---------------------------------------------------------------------------


def noisy(seed: int, noise: float, count: int = 300) -> Any:
    chance = np.random.default_rng(seed)
    truth = np.random.default_rng(0).normal(size=count)
    return truth, truth + noise * chance.normal(size=count)


@pytest.mark.parametrize("difference", [srcc_difference, plcc_difference])
def test_a_better_judge_is_told_from_a_worse_one_and_not_from_its_equal(difference: Any) -> None:
    truth, good = noisy(1, 0.5)
    _, bad = noisy(2, 2.0)
    _, equal = noisy(3, 0.5)
    found = difference(bad, good, truth)
    assert found.value > 0.2 and found.low > 0 and found.p < 0.01 and found.count == 300
    assert difference(good, bad, truth).value == pytest.approx(-found.value)
    same = difference(good, equal, truth)
    assert same.low < 0 < same.high and same.p > 0.05
    assert difference(good, good, truth).p == 1.0


def test_the_p_value_holds_its_level() -> None:
    """Of judges that are equally good, about one in twenty is called different, not many more."""
    called = sum(
        srcc_difference(noisy(2 * n, 1.0, 60)[1], noisy(2 * n + 1, 1.0, 60)[1], noisy(0, 1.0, 60)[0]).p < 0.05  # type: ignore[operator]
        for n in range(1, 13)
    )
    assert called <= 3


def test_shares_are_compared_by_picture() -> None:
    first = np.array([[1, 2]] * 50)
    second = np.array([[2, 2]] * 50)
    found = share_difference(first, second)
    assert found.value == 0.5 and found.p is not None and found.p < 0.01


def test_what_cannot_be_compared_says_why() -> None:
    assert "needs" in srcc_difference([1, 2], [2, 1], [1, 2]).note
    constant = srcc_difference([3.0] * 9, list(range(9)), list(range(9)))
    assert constant.value is None and "equal" in constant.note
    with pytest.raises(InputError):
        srcc_difference([1, 2], [1], [1, 2])


# -- The command ---------------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_prints_where(folder: Path, tmp_path: Path) -> None:
    arguments = ["report", str(folder / "first"), "--out", str(tmp_path / "out"), "--pictures", "0"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out" / "report.html")
    assert "<img" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    missing = CliRunner().invoke(cli.app, ["report", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert missing.exit_code == 2 and missing.stderr.startswith("error: run")


def test_many_points_are_drawn_as_density(folder: Path) -> None:
    from eval.report.plots import MANY, plots

    facts = collect(runs(folder)[:1])
    chance = np.random.default_rng(0)
    count = MANY + 500
    facts.truth = chance.uniform(1, 5, count)
    facts.runs[0].predicted = np.clip(facts.truth + chance.normal(0, 0.5, count), 1, 5)
    facts.ids, facts.generators = [str(n) for n in range(count)], [""] * count
    assert len(plots(facts)["scatter"].svg) < 600_000


def test_names_in_plots_are_short_and_on_one_line() -> None:
    assert short("a\nb") == "a b" and len(short("x" * 99)) == 28


def test_the_suite_of_the_report_is_named_by_its_title(page: Page) -> None:
    assert suite("scenes").title in " ".join(page.words)
