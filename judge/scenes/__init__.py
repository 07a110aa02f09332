"""Procedural scenes with exact labels: the judge's school and its first examination."""

from judge.scenes.dataset import sheet, write
from judge.scenes.facts import Facts
from judge.scenes.scene import Scene, draw, undamaged
from judge.scenes.statements import ask, phrase, sample_of

__all__ = ["Facts", "Scene", "ask", "draw", "phrase", "sample_of", "sheet", "undamaged", "write"]
