"""What is known of each model family, as data with its sources.

- `families`: the table `FAMILIES` of the families that run in this process, and `find_family`.
- `boxes`: how a family writes a box, and conversions to and from pixels of the original image.

It imports `judge.media`, `judge.types` and `judge.errors`, and loads no model library.
"""

from judge.backends.models.boxes import BoxConvention
from judge.backends.models.families import FAMILIES, Family, check_family, find_family

__all__ = ["FAMILIES", "BoxConvention", "Family", "check_family", "find_family"]
