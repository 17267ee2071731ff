"""Segmentation, the paper's second problem (section 4.3): its parts, each usable and tested by itself.

Update
    ``windows`` where the windows lie; ``classes`` which classes are asked about; ``draws``; ``window_loss``;
    ``backward``, and ``sampled`` a cheaper one. :class:`dusa_ignite.methods.window_dusa.WindowDusa` is made of them.
Guide
    ``prompted_unet`` Stable Diffusion's UNet with or without a ControlNet; ``prompts`` the classes' text embeddings,
    ``stored_prompts`` those of a file; ``window_guide`` joins it with VAE and path; ``load_guide`` reads a folder or
    repository of the shape of SD 1.x; ``unet_options`` is its section of the config.
Segmenter
    ``segmenter`` a :class:`dusa_ignite.models.Classifier` with logits per place; ``load_segmenter`` reads and writes
    transformers' folders.
Scores
    ``counts`` what one image adds; ``scores`` mIoU and pixel accuracy of any sum of them; ``resize``.

What runs ask of segmentation is in :mod:`dusa_ignite.problems.segmentation`; its data sets are in
:mod:`dusa_ignite.data.segmentation`.

``shipped``: the package's own segmenter and guide, for the canvases; their name is ``embedded``.

transformers is an extra: ``pip install 'dusa_ignite[segmentation]'``.
"""
