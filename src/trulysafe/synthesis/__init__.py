"""Synthesised prompts: a language model or a function writes them from seed prompts of other data sets."""
