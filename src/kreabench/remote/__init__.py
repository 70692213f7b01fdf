"""Runs on shared storage: pushed, pulled, and read where they lie."""
