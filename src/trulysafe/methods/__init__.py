"""Both papers' formulas as pure functions: losses, masks, label confidence, and the method that combines them."""
