"""A reply is aligned with its form up to the point where they differ."""

from __future__ import annotations

from judge.backends.decoding.reply_alignment import align_reply
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Object
from judge.rubrics.schema import SCORE_LABELS

FORM = Form(Object((("box", Box("box", grid=100)), ("score", Choice("score", SCORE_LABELS)))))


def test_a_box_with_swapped_corners_is_found_with_the_answers_before_it() -> None:
    text = b'{"box":[300,0,200,100],"score":3}'
    alignment = align_reply(FORM, text)
    assert alignment.mismatch == text.index(b"200")
    assert alignment.answers == ["300", "0"]
    assert [found.blank.name for found in alignment.blanks] == ["box.x1", "box.y1", "box.y2", "score"]
