"""Trains the miniature model that ships with kreabench, from nothing but the drawn world. See `python -m training`."""
