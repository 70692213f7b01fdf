"""Workers of a Ray cluster. Nothing here imports Ray before an engine needs it."""
