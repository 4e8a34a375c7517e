"""What the rules need to know of a configuration: where things lie, what they are made of, which work forms a job."""

from trulysafe.plan.evaluate import Evaluation


class Plan(Evaluation):
    """Paths, inputs and batches of one scenario: each base class knows one stage and those before it.

    Args:
        config: the checked configuration.
    """
