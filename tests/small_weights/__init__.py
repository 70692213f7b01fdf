"""Small weights, saved in the real formats, so that every metric runs offline: one module a family of metrics."""
