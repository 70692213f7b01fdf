"""What the samples say: pure functions over the table of samples. No torch, no back end, no files."""
