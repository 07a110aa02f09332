"""Procedural scenes with exact labels: the judge's school and its first examination."""

from finetune.scenes.scene import Facts, Scene, ask, draw, phrase, sample_of
from finetune.scenes.write import sheet, write

__all__ = ["Facts", "Scene", "ask", "draw", "phrase", "sample_of", "sheet", "write"]
