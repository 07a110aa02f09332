"""Which rows of a source have a verdict."""

from __future__ import annotations

from bisect import bisect_right, insort

from judge.batch.chunks import RowRange


class Coverage:
    """The rows of each piece that have a verdict, and the length of each piece."""

    def __init__(self) -> None:
        self._intervals: dict[int, list[tuple[int, int]]] = {}
        """For each piece, disjoint (first row, row after the last), in order."""
        self.piece_lengths: dict[int, int] = {}
        """Number of rows of each piece that was read to its end."""

    def add(self, row_range: RowRange) -> bool:
        """Add the rows of a chunk. If some are covered already, add nothing and return False."""
        if not row_range.count:
            return True
        intervals = self._intervals.setdefault(row_range.piece, [])
        start, stop = row_range.first, row_range.first + row_range.count
        at = bisect_right(intervals, (start, stop))
        if at and intervals[at - 1][1] > start or at < len(intervals) and intervals[at][0] < stop:
            return False
        if at < len(intervals) and intervals[at][0] == stop:
            stop = intervals.pop(at)[1]
        if at and intervals[at - 1][1] == start:
            start = intervals.pop(at - 1)[0]
        insort(intervals, (start, stop))
        return True

    def describe_missing(self, pieces: int) -> list[str]:
        """Describe what is missing: rows without a verdict, and pieces that were not read to their end.

        Args:
            pieces: number of pieces of the source.
        """
        missing = []
        for piece in range(pieces):
            if piece not in self.piece_lengths:
                missing.append(f"the end of piece {piece + 1}")
                continue
            covered_to = 0
            for start, stop in [*self._intervals.get(piece, []), (self.piece_lengths[piece],) * 2]:
                if start > covered_to:
                    missing.append(f"rows {covered_to + 1} to {start} of piece {piece + 1}")
                covered_to = max(covered_to, stop)
        return missing
