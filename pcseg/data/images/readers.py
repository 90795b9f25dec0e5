"""The readers by the names that configurations use."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pcseg.data.images.frames import RoomFrames, ScanNetFrames
from pcseg.data.images.reader import ImageReader

ImageSet = Literal["room_frames", "scannet_frames"]
"""Names of the data sets."""

READERS: dict[ImageSet, Callable[[Path], ImageReader]] = {
    "room_frames": RoomFrames,
    "scannet_frames": ScanNetFrames,
}
