"""Runs in the trackers that people already use."""
