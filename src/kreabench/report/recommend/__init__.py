"""What `recommend` says: page, figures and files."""
