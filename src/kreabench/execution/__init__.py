"""Running a plan: engines, the worker process, and the services a target needs beside it."""
