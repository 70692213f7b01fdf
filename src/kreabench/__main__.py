"""`kreabench` and `python -m kreabench`."""

from kreabench.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
