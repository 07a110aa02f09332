"""The order in which lines are read."""

from __future__ import annotations

from writing import line

from judge.evidence.text_order import reading_orders, sort_lines


def texts(lines: list) -> list[str]:
    return [one.text for one in lines]


def test_lines_below_each_other_are_read_before_the_block_beside_them() -> None:
    lines = [line("late", 300, 24), line("fresh", 0, 0), line("open", 300, 0), line("bread", 0, 24)]
    assert texts(sort_lines(lines)) == ["fresh", "bread", "open", "late"]


def test_other_orders_are_offered_for_rows_and_for_curved_writing() -> None:
    lines = sort_lines(
        [line("fresh", 0, 0), line("open", 300, 0), line("bread", 0, 24), line("late", 300, 24)]
    )
    orders = [texts(order) for order in reading_orders(lines)]
    assert ["fresh", "open", "bread", "late"] in orders
    arc = [line("GRAND", 0, 60), line("CENTRAL", 60, 0), line("HOTEL", 140, 60)]
    assert ["GRAND", "CENTRAL", "HOTEL"] in [texts(order) for order in reading_orders(sort_lines(arc))]


def test_padded_boxes_of_close_lines_are_two_rows() -> None:
    assert texts(sort_lines([line("morning", 0, 24, height=45), line("good", 5, 0, height=45)])) == [
        "good",
        "morning",
    ]
