"""Metrics written down a second time, from their papers, in double precision: what the real ones are held against."""
