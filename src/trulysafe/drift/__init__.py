"""Order and distribution of a policy's responses along training."""
