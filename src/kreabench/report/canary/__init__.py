"""A canary's verdict for people and for programs."""
