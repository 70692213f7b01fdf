"""What `import kreabench` gives: the same results as the command line, as values. Names are listed in `kreabench`."""
