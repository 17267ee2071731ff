"""Segmentation, the paper's second problem (section 4.3): its parts, each usable and tested by itself.

Runs do not use them yet: no config names them, and no command adapts a segmenter.

Update
    ``windows`` where the windows lie; ``classes`` which classes are asked about; ``draws``; ``window_loss``;
    ``backward``, and ``sampled`` a cheaper one; ``dusa.WindowDusa`` the update that is made of them, a
    :class:`dusa_ignite.methods.Method`.
Guide
    ``prompted_unet`` Stable Diffusion's UNet with or without a ControlNet; ``prompts`` the classes' text embeddings;
    ``window_guide`` joins it with VAE and path; ``load_guide`` reads a folder or repository of the shape of SD 1.x.
    A small one may work on pixels and have its prompts in a file (``stored_prompts``).
Segmenter
    ``segmenter`` a :class:`dusa_ignite.models.Classifier` with logits per place; ``load_segmenter`` reads and writes
    transformers' folders.
Data
    ``data`` ADE20K, ADE20K-C, Cityscapes, ACDC, folders of images and masks, unlabelled folders; digits on canvases,
    which need no files; ``resize``.
Scores
    ``counts`` what one image adds; ``scores`` mIoU and pixel accuracy of any sum of them; ``metrics`` the same for the
    engine; ``bootstrap`` intervals.

``shipped``: the package's own segmenter and guide, for the canvases; their name is ``embedded``.

transformers is an extra: ``pip install 'dusa_ignite[segmentation]'``.
"""
