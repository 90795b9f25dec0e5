"""The readers by the names that configurations use."""

from typing import Literal

from pcseg.data.images.ade20k import ADE20K
from pcseg.data.images.cityscapes import Cityscapes
from pcseg.data.images.pascal_context import PascalContext, PascalContext60
from pcseg.data.images.reader import ImageReader
from pcseg.data.images.scan_frames import RoomFrames, ScanNetFrames
from pcseg.data.images.voc import VOC2012

ImageSet = Literal[
    "room_frames", "scannet_frames", "ade20k", "pascal_context", "pascal_context_60", "voc", "cityscapes"
]
"""Names of the data sets."""

IMAGE_READERS: dict[ImageSet, type[ImageReader]] = {
    "room_frames": RoomFrames,
    "scannet_frames": ScanNetFrames,
    "ade20k": ADE20K,
    "pascal_context": PascalContext,
    "pascal_context_60": PascalContext60,
    "voc": VOC2012,
    "cityscapes": Cityscapes,
}
