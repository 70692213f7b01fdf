"""From runs to decisions: what may be compared, what came of it, whether it passes, and what to use."""
