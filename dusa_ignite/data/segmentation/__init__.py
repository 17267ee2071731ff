"""Data sets of segmentation, a file each: every task's images have a label map, or none has."""
