"""`judge models`: the recommended checkpoints fit a machine or not, and how they are run."""

from __future__ import annotations

import json
import tomllib

import pytest
from command_line import assert_error, run

from judge.cost.accelerators import Accelerator
from judge.cost.catalogue import MODELS_FILE, CatalogueEntry, list_models, recommend
from judge.cost.machine import Machine, find_data_sheet

TABLE = tomllib.loads(MODELS_FILE.read_text("utf-8"))


def on_card(card: str, count: int = 1) -> dict[str, CatalogueEntry]:
    """The rows of the table on a machine with GPUs, by name."""
    machine = Machine(Accelerator.parse(card), count, has_gpu=True, bytes_per_number=2, is_measured=False)
    return {entry.name: entry for entry in list_models(machine)}


@pytest.fixture(scope="module")
def rtx4090() -> dict[str, CatalogueEntry]:
    return on_card("rtx4090")


def test_every_row_has_a_source_a_licence_and_a_purpose() -> None:
    for name, row in TABLE.items():
        assert row["source"] and row["license"] and row["what"], name


def test_a_model_fits_quantized_or_not_at_all(rtx4090: dict[str, CatalogueEntry]) -> None:
    assert rtx4090["Qwen/Qwen3-VL-8B-Instruct"].fits and rtx4090["Qwen/Qwen3-VL-8B-Instruct"].bits is None
    large = rtx4090["Qwen/Qwen2.5-VL-72B-Instruct"]
    assert not large.fits and large.command == "" and large.images_per_second is None and large.cards == 7
    dense = on_card("l40s")["Qwen/Qwen3-VL-32B-Instruct"]
    assert dense.fits and dense.bits == 4 and "--option bits=4" in dense.command and dense.memory < 0.9 * 48e9
    experts = on_card("l40s")["Qwen/Qwen3-VL-30B-A3B-Instruct"]
    assert not experts.fits  # experts are not quantized, so bits=4 would promise what it does not keep


def test_a_model_may_be_spread_over_the_gpus_that_are_there() -> None:
    whole = on_card("h100", 4)["Qwen/Qwen2.5-VL-72B-Instruct"]
    assert whole.fits and whole.bits is None and whole.cards == 3


def test_on_a_cpu_weights_are_float32() -> None:
    machine = Machine(Accelerator("CPU", 1e12, 5e10, 64e9))
    entries = {entry.name: entry for entry in list_models(machine)}
    assert entries["Qwen/Qwen3-VL-4B-Instruct"].weights == pytest.approx(4 * 4.437e9, rel=0.01)
    assert not entries["Qwen/Qwen3-VL-32B-Instruct"].fits


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (Machine(Accelerator.parse("l4"), has_gpu=True, bytes_per_number=2), "Qwen/Qwen3-VL-8B-Instruct"),
        (Machine(Accelerator("small", 1e14, 1e12, 12e9), has_gpu=True, bytes_per_number=2),
         "Qwen/Qwen3-VL-4B-Instruct"),
        (Machine(Accelerator.parse("h100"), has_gpu=True, bytes_per_number=2),
         "Qwen/Qwen3-VL-30B-A3B-Instruct"),
        (Machine(Accelerator("CPU", 1e11, 2e10, 64e9)), None),
    ],
)  # fmt: skip
def test_the_largest_general_model_that_fits_and_is_fast_enough_is_named(
    machine: Machine, name: str | None
) -> None:
    suitable = recommend(list_models(machine))
    assert (suitable and suitable.name) == name


@pytest.mark.parametrize(
    ("driver_name", "memory", "sheet"),
    [
        ("NVIDIA H200", 150e9, "NVIDIA H200 SXM"),
        ("NVIDIA A100-SXM4-80GB", 85e9, "NVIDIA A100 SXM 80 GB"),
        ("NVIDIA A100-PCIE-40GB", 42e9, None),  # the same name with half the memory is another card
        ("NVIDIA L4", 24e9, "NVIDIA L4"),
        ("NVIDIA L40S", 48e9, "NVIDIA L40S"),
        ("NVIDIA GeForce RTX 4090", 25e9, "NVIDIA GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 3060", 12e9, None),
    ],
)
def test_a_gpu_is_matched_with_its_data_sheet(driver_name: str, memory: float, sheet: str | None) -> None:
    found = find_data_sheet(driver_name, memory)
    assert (found and found.name) == sheet


def test_the_command_prints_one_line_a_model() -> None:
    result = run("models", "--card", "h100")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for name in TABLE:
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert "GB" in line and ("judge " in line or "no, needs" in line)
    assert "judge examine Qwen/Qwen3-VL-30B-A3B-Instruct" in lines[-1]


def test_json_has_one_object_a_model() -> None:
    rows = [json.loads(line) for line in run("models", "--card", "l4", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == list(TABLE)
    assert sum(row["recommended"] for row in rows) == 1


def test_an_unknown_card_is_one_error_line() -> None:
    assert_error(run("models", "--card", "h1000"), "card", "did you mean")
