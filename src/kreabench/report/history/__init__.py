"""What `history` says: page and files."""
