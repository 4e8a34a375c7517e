"""Turns of a dialogue as hh-rlhf writes it."""

import re

TURN = re.compile(r"\n\n(Human|Assistant):(.*?)(?=\n\n(?:Human|Assistant):|\Z)", re.DOTALL)
"""Who speaks, and what they say."""
