"""The run directory: durable, portable, complete. The only place that knows its file names and formats."""
