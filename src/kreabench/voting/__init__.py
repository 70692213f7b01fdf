"""The blind vote: which pictures are compared, who is shown which pair, and the page that asks."""
