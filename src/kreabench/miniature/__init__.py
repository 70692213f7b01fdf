"""The trained miniature that ships in the package: where its files lie, and whether they are whole."""
