"""Data sets of segmentation, a file each: every task's images have a label map, or none has."""

from dusa_ignite.data.data_set import DataSet
from dusa_ignite.segmentation.data.acdc import Acdc
from dusa_ignite.segmentation.data.ade20k import Ade20k
from dusa_ignite.segmentation.data.ade20k_c import Ade20kC
from dusa_ignite.segmentation.data.canvases import Canvases
from dusa_ignite.segmentation.data.cityscapes import Cityscapes
from dusa_ignite.segmentation.data.mask_folder import MaskFolder

SEGMENTATION_DATA_SETS: tuple[type[DataSet], ...] = (
    Ade20k,
    Ade20kC,
    Cityscapes,
    Acdc,
    MaskFolder,
    Canvases,
)
