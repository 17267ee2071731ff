"""What the files and folders of a training are called."""

from dusa_ignite.handlers.tracked_files import TrackedFiles

CONFIG, RUN, LOG, UPDATES, VALIDATIONS, METRICS = (
    "config.yaml",
    "run.json",
    "log.txt",
    "metrics.jsonl",  # a line per update
    "validation.jsonl",  # a line per validation
    "metrics.json",  # written last: it marks a finished training
)
CLASSES, TRANSFORMER, GUIDE = "classes.json", "transformer.safetensors", "guide.yaml"
CURVE, SAMPLES = "accuracy_by_t.png", "samples_{}.png"
CHECKPOINTS, LATENTS, CLASSIFIER = "checkpoints", "latents", "classifier"  # folders within
OUTPUTS = (CONFIG, RUN, LOG, UPDATES, VALIDATIONS, METRICS, CLASSES, TRANSFORMER, GUIDE, CURVE)
PATTERNS = (
    *OUTPUTS,
    SAMPLES.format("*"),
    f"{CHECKPOINTS}/checkpoint_*.pt*",
    f"{CLASSIFIER}/model.safetensors",
    f"{CLASSIFIER}/config.json",
)
TRACKED = TrackedFiles(
    first=(CONFIG, RUN),
    last=(CONFIG, RUN, LOG, METRICS, CLASSES, GUIDE, CURVE),
    weights=(TRANSFORMER, f"{CLASSIFIER}/model.safetensors"),
)
