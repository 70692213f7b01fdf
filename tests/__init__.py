"""Tests of kreabench."""
