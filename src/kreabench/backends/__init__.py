"""Back ends: what can turn a request into pictures. They know neither each other nor the metrics."""
