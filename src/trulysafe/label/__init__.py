"""The risk class of prompts (FDC, Equilibrate RLHF): labellers, their tests, their agreement."""
