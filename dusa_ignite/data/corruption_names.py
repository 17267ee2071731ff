"""Names of the corruptions of each data set. Imports nothing, so that a config can be checked without loading torch.

ImageNet-C: D. Hendrycks and T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019; the names are those of its folders.
"""

SEVERITIES = (1, 2, 3, 4, 5)

BENCHMARK_CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)

# The four that ImageNet-C sets aside for validation follow the fifteen of the benchmark.
ALL_CORRUPTIONS = (*BENCHMARK_CORRUPTIONS, "speckle_noise", "gaussian_blur", "spatter", "saturate")

DIGITS_CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "gaussian_blur",
    "motion_blur",
    "fog",
    "contrast",
    "pixelate",
)
