"""Sources of token rewards for AMA (Equilibrate RLHF) beside the hybrid reward."""
