"""Racing: all settings draw some prompts, those that cannot be the answer are dropped, the others go on."""
