"""Models and data sets from outside, fetched once at a pinned revision and checked."""
