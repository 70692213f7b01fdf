"""What `gate` says, for people and for machines."""
