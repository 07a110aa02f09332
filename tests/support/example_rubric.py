"""The commented example rubric of the package, as a file with edits."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from judge.rubrics.templates import prompts_folder

WORKED_EXAMPLE = """
[[examples]]
image = "icon.png"
prompt = "a basket"
elements = ["basket"]
[examples.answer]
elements = { "basket" = true }
style = "flat"
defects = [
    { kind = "too fine", box = [100, 200, 300, 400], severity = "moderate", explanation = "mesh lost" },
    { kind = "other", box = [0, 0, 10, 10], severity = "negligible", explanation = "a dot" },
]
clarity = 4
economy = 3
score = 4
explanation = "a basket at once"
"""


def write_example_rubric(folder: Path, *edits: tuple[str, str], more: str = "") -> Path:
    """Write `prompts/example.toml` and the image of its worked example to a folder.

    Args:
        folder: where to write `icons.toml` and `icon.png`.
        *edits: (old, new) texts to replace; each old text must be in the file.
        more: text to append before the edits, for example `WORKED_EXAMPLE`.
    """
    text = (prompts_folder() / "example.toml").read_text("utf-8") + more
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    Image.new("RGB", (48, 48), "white").save(folder / "icon.png")
    path = folder / "icons.toml"
    path.write_text(text, "utf-8")
    return path
