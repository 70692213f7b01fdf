"""A loopback fal: the real service's queue protocol over https, for tests and trials.

It costs nothing, and its times say nothing about the real service.
"""
