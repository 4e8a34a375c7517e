"""The plan of one scenario: one part for each rule file, all made of the checked configuration."""

from trulysafe.config.tables.configuration import Configuration
from trulysafe.plan.data import Data
from trulysafe.plan.drift import Drift
from trulysafe.plan.evaluate import Evaluate
from trulysafe.plan.label import Label
from trulysafe.plan.models import Models
from trulysafe.plan.pairs import Pairs
from trulysafe.plan.paths import results_of
from trulysafe.plan.policies import Policies
from trulysafe.plan.prefetch import Prefetch
from trulysafe.plan.report import Report
from trulysafe.plan.reward import Reward
from trulysafe.plan.token_rewards import TokenRewards
from trulysafe.plan.train import Train


class Plan:
    """What jobs read and do, by rule file: ``plan.data.tables(...)``, ``plan.train.runs(job)``."""

    def __init__(self, config: Configuration) -> None:
        self.config, self.results = config, results_of(config.scenario)
        self.policies = Policies(config, self.results)
        self.prefetch = Prefetch(config, self.results)
        self.data = Data(config, self.results, self.prefetch)
        self.models = Models(config, self.results, self.policies, self.prefetch)
        self.label = Label(config, self.results, self.models)
        self.reward = Reward(config, self.results)
        self.pairs = Pairs(config, self.results, self.models)
        self.token_rewards = TokenRewards(config, self.results, self.models, self.policies)
        self.evaluate = Evaluate(config, self.results, self.models, self.policies)
        self.train = Train(config, self.results, self.models, self.policies, self.evaluate)
        self.drift = Drift(config, self.results, self.data, self.models, self.pairs, self.policies, self.evaluate)
        self.report = Report(config, self.results, self.models, self.pairs, self.policies)
