// A line for each acceleration over steps.
