"""Procedural scenes with exact labels: the judge's school and its first examination."""

from finetune.scenes.asking import ask, phrase, sample_of
from finetune.scenes.facts import Facts
from finetune.scenes.scene import Scene, draw, undamaged
from finetune.scenes.write import sheet, write

__all__ = ["Facts", "Scene", "ask", "draw", "phrase", "sample_of", "sheet", "undamaged", "write"]
