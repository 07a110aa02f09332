"""When the frames of a video are shown, read from its packets without decoding.

The frames are numbered in display order. Two kinds of files differ in how a decoded frame finds its number:

- Containers that state a presentation time for every frame (MP4, Matroska, most transport streams): by that
  time.
- The others: AVI and ASF state only the order of decoding; some program streams leave times out; joined
  recordings start their times again. There the frames are counted, since decoders return them in display
  order: from the first one on or, where both orders are the same, from a key frame on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAX_GAP_SECONDS = 10.0
"""In MPEG streams, a longer gap between frames is taken for a new start of the times (FFmpeg's own rule)."""
_FORMATS_WITHOUT_TIMES = ("avi", "asf", "m4v")
_FORMATS_WITH_JUMPS = ("mpegts", "mpeg")
_FORMATS_WITHOUT_SEEKING = ("mpeg", "m4v")
"""After a seek in a program stream, FFmpeg derives other times for the same frames."""


@dataclass
class Timeline:
    """The frames of a video in display order."""

    times: list[float]
    """Display time of each frame in seconds from the first."""
    key_frames: list[int]
    """Numbers of the frames that can be decoded on their own."""
    jumps: int = 0
    """How often the times start again."""
    cut_off: int = 0
    """Frames before the first key frame, which cannot be decoded; they are not among the others."""
    is_counted: bool = False
    """Whether frames are counted, instead of found by their time."""
    number_of: dict[int, int] = field(default_factory=dict)
    """Presentation timestamp -> number of the frame; empty if frames are counted."""
    packet_at: dict[int, Packet] = field(default_factory=dict)
    """Stamp -> packet, to know where a seek landed; empty if that cannot be known."""
    key_packets: dict[int, Packet] = field(default_factory=dict)
    """Number of a key frame -> its packet."""

    @property
    def frame_interval(self) -> float:
        """Usual time between frames in seconds; 0 if it is not known."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    def stamp_of(self, packet: Any) -> int | None:
        """Return the stamp by which a packet is known, of PyAV or kept: its time, or its decoding time."""
        first, second = (packet.dts, packet.pts) if self.is_counted else (packet.pts, packet.dts)
        stamp: int | None = second if first is None else first
        return stamp

    def last_key_frame(self, number: int) -> Packet:
        """Return the packet of the last key frame that is not after a frame."""
        before = [key for key in self.key_frames if key <= number]
        return self.key_packets[before[-1] if before else self.key_frames[0]]


@dataclass(frozen=True)
class Packet:
    """What is kept of a packet."""

    pts: int | None
    dts: int | None
    is_key: bool
    byte: int | None
    """Where it begins in the file, if that is known."""
    size: int
    """Its bytes."""
    position: int
    """Place in the order of decoding."""

    @property
    def stamp(self) -> int:
        """The presentation timestamp or, without one, that of decoding."""
        stamp = self.pts if self.pts is not None else self.dts
        assert stamp is not None
        return stamp


def read_packets(packets: Iterable[Any]) -> Iterator[Packet]:
    """Yield the packets of PyAV that hold a frame which is shown."""
    position = 0
    for packet in packets:
        # Packets that an edit list leaves out are discarded by the decoder; the last one of all has no times.
        if packet.is_discard or (packet.pts is None and packet.dts is None):
            continue
        yield Packet(packet.pts, packet.dts, packet.is_keyframe, packet.pos, packet.size, position)
        position += 1


def build_timeline(
    packets: list[Packet], container_format: str, time_base: float, is_reordered: bool
) -> Timeline:
    """Put packets into display order.

    Args:
        packets: in the order of decoding, at least one.
        container_format: as FFmpeg names it.
        time_base: seconds of a unit of their times.
        is_reordered: whether the codec shows frames in another order than that of decoding (B-frames).
    """
    names = container_format.split(",")
    first_key = next((n for n, packet in enumerate(packets) if packet.is_key), 0)
    packets = packets[first_key:]
    has_jumps = any(name in _FORMATS_WITH_JUMPS for name in names)
    offsets = _close_jumps(packets, time_base) if has_jumps else [0] * len(packets)
    jumps = sum(before != after for before, after in zip(offsets, offsets[1:], strict=False))
    stamps = [packet.stamp for packet in packets]
    is_counted = (
        jumps > 0
        or any(name in _FORMATS_WITHOUT_TIMES for name in names)
        or any(packet.pts is None for packet in packets)
        or len(set(stamps)) < len(stamps)
    )
    if is_counted:
        stamps = [packet.dts if packet.dts is not None else packet.stamp for packet in packets]
    shown = sorted(stamp + offset for stamp, offset in zip(stamps, offsets, strict=True))
    number_of = {} if is_counted else {stamp: number for number, stamp in enumerate(shown)}
    keys = {
        place if is_counted else number_of[packet.stamp]: packet
        for place, packet in enumerate(packets)
        if packet.is_key
    } or {0: packets[0]}
    can_seek = not jumps and len(set(stamps)) == len(stamps)
    can_seek = can_seek and not any(name in _FORMATS_WITHOUT_SEEKING for name in names)
    can_seek = can_seek and not (is_counted and is_reordered)
    return Timeline(
        times=[(stamp - shown[0]) * time_base for stamp in shown],
        key_frames=sorted(keys),
        jumps=jumps,
        cut_off=first_key,
        is_counted=is_counted,
        number_of=number_of,
        packet_at=dict(zip(stamps, packets, strict=True)) if can_seek else {},
        key_packets=keys,
    )


def _close_jumps(packets: list[Packet], time_base: float) -> list[int]:
    """Return what has to be added to the times of each packet so that they never start again."""
    offsets, offset, interval = [], 0, 0
    last: int | None = None
    for packet in packets:
        at = packet.dts if packet.dts is not None else packet.stamp
        if last is not None and packet.dts is not None:
            step = at - last
            if step < 0 or step * time_base > MAX_GAP_SECONDS:
                offset += interval - step
            elif step:
                interval = step
        last = at
        offsets.append(offset)
    return offsets
