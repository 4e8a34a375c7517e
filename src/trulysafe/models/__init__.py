"""Language models: loading, tokens, hidden states, sampling, log-probabilities, and training a tiny one from
scratch."""
