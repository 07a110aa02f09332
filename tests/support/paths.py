"""Paths of the checkout, and of the real data that some checkouts have beside them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
SUPPORT = Path(__file__).parent
