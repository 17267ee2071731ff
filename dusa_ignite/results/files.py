"""What the files and folders in a run's folder are called."""

CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES, PREDICTIONS = (
    "config.yaml",
    "results.csv",
    "summary.json",  # written last: it marks a finished run
    "run.json",
    "log.txt",
    "metrics.jsonl",
    "predictions.csv",
)
STREAM_PLOT, TASKS_PLOT = "accuracy_stream.png", "accuracy_tasks.png"
UNLABELLED_PLOT = "stream.png"  # in the place of the two where no image has a label
REPORT = "report.html"
PICTURES = (STREAM_PLOT, TASKS_PLOT, UNLABELLED_PLOT)
OUTPUTS = (CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES, PREDICTIONS, *PICTURES, REPORT)
CHECKPOINTS, EXPORTS, MAPS = "checkpoints", "export", "predictions"  # folders within
