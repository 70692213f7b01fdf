"""The canary: a small run of a hosted target every day, judged by the days before it."""
