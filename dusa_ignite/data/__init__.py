"""Tasks, streams, and the data sets they are made of. A further data set: its file, and its class in ``DATA_SETS``."""

from dusa_ignite.data.cifar10_c import Cifar10C
from dusa_ignite.data.cifar100_c import Cifar100C
from dusa_ignite.data.corrupted_folder import CorruptedFolder
from dusa_ignite.data.data_set import DataSet
from dusa_ignite.data.digits import Digits
from dusa_ignite.data.image_folder import ImageFolder
from dusa_ignite.data.image_list import ImageList
from dusa_ignite.data.imagenet_c import ImageNetC
from dusa_ignite.data.segmentation.acdc import Acdc
from dusa_ignite.data.segmentation.ade20k import Ade20k
from dusa_ignite.data.segmentation.ade20k_c import Ade20kC
from dusa_ignite.data.segmentation.canvases import Canvases
from dusa_ignite.data.segmentation.cityscapes import Cityscapes
from dusa_ignite.data.segmentation.mask_folder import MaskFolder
from dusa_ignite.data.stream import TaskStream
from dusa_ignite.data.task import LabelledImages, Task
from dusa_ignite.data.webdataset import WebDataset

DATA_SETS: tuple[type[DataSet], ...] = (
    ImageNetC,
    Cifar10C,
    Cifar100C,
    ImageFolder,
    ImageList,
    WebDataset,
    CorruptedFolder,
    Digits,
    Ade20k,
    Ade20kC,
    Cityscapes,
    Acdc,
    Canvases,
    MaskFolder,
)

__all__ = ["DATA_SETS", "DataSet", "LabelledImages", "Task", "TaskStream"]
