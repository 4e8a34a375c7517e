"""Tokens of trainings that sample: online DPO and PPO."""

from trulysafe.methods.method import PPO, Method


def fresh_batches(method: Method, batches: float) -> float:
    """How many of the micro-batches of a training are sampled; PPO uses each for several steps."""
    return batches / method.ppo.epochs if method.loss == PPO else batches * (method.online.samples > 0)


def forward_tokens(method: Method, prompt: float, response: float) -> float:
    """Tokens that go forward for each sampled prompt, by the tokens of a prompt and of a response to it. A prompt is
    read once for all its samples; these are judged, and the reference reads two of them. PPO reads prompt and sample
    four times more: under the policy, the reference, the judge and the critic; a bound on a cost has a judge and critic
    too."""
    samples = method.online.samples
    read = (2 + 2 * method.ppo.critics) * samples if method.loss == PPO else samples + 2
    return prompt + read * (prompt + response)


def trained_tokens(method: Method, pairs: float, prompt: float, response: float) -> float:
    """Tokens that are trained on for each prompt of a micro-batch: those of its pair, or of PPO all samples, by policy
    and critics."""
    if method.loss != PPO:
        return pairs
    return (1 + method.ppo.critics) * method.online.samples * (prompt + response)
