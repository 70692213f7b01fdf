"""Metrics: one score per image. They know neither each other nor the back ends."""
