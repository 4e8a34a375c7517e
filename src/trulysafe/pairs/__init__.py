"""Preference pairs (RBRM, step 2) and the training sets drawn from them (FDC)."""
