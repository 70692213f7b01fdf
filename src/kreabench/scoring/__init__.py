"""The scoring stage: every metric of every delivered picture and of every set of pictures, once, and only what is
missing."""
