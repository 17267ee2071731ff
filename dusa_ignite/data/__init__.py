"""Tasks, streams, and the data sets they are made of."""
