"""White space in the JSON of a form: compact, spaced as `json.dumps` writes it by default, or indented."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

LayoutName = Literal["compact", "spaced", "pretty"]
"""How a model writes JSON."""


@dataclass(frozen=True)
class Layout:
    """The white space of a JSON text; the separators are those of `json.dumps`."""

    name: LayoutName
    comma: str = ","
    """Text between two items on one line."""
    colon: str = ":"
    """Text between a key and its value."""
    indent: int = 0
    """Spaces of one level of indentation; 0: everything is on one line."""
    inline_boxes: bool = False
    """The four numbers of a box stand on one line, whatever the indentation."""

    def separator(self, level: int) -> str:
        """Return the text between two items of an object or list at a level of nesting."""
        return f",{self.new_line(level)}" if self.indent else self.comma

    def new_line(self, level: int) -> str:
        """Return the white space before an item at a level of nesting, or before a closing bracket."""
        return "\n" + " " * (self.indent * level) if self.indent else ""

    @cache  # noqa: B019 - there are few layouts, and they live as long as the program
    def item_opening(self, index: int, level: int) -> str:
        """Return the text that begins the object of this index in a list, up to its first key.

        Args:
            index: index of the item.
            level: level of nesting of the item.
        """
        before = self.separator(level) if index else self.new_line(level)
        return f"{before}{{{self.new_line(level + 1)}"

    def list_end(self, count: int, level: int) -> str:
        """Return the text that closes a list of `count` items at a level of nesting."""
        return f"{self.new_line(level) if count else ''}]"


COMPACT = Layout("compact")
"""The canonical text of a form."""
SPACED = Layout("spaced", ", ", ": ")
PRETTY = Layout("pretty", ", ", ": ", indent=2)
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "compact": (COMPACT,),
    "spaced": (SPACED,),
    "pretty": (
        PRETTY,
        Layout("pretty", ", ", ": ", indent=4),
    ),
}
"""Name -> the layouts that a model may mean by it."""
