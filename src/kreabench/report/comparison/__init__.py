"""What `compare` says: page, tables and files."""
