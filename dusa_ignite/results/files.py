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
OUTPUTS = (CONFIG, RESULTS, SUMMARY, RUN, LOG, UPDATES, PREDICTIONS, STREAM_PLOT, TASKS_PLOT)
CHECKPOINTS, EXPORTS = "checkpoints", "export"  # folders within
