"""What a configuration's tables come to: options of a data set's reader, the method behind a stanza, the training options of an experiment."""

from __future__ import annotations

from trulysafe.config.tables.configuration import Configuration
from trulysafe.config.tables.training import Experiment, Training
from trulysafe.methods.method import Method


def method_of(config: Configuration, name: str) -> Method:
    """The method behind a stanza of ``methods``; the kind of its token rewards is that of their source.

    Raises:
        UserError: names the option that is not accepted, without the stanza.
    """
    table = config.methods[name]
    source = config.token_rewards[table.token_rewards] if table.token_rewards else None
    options = {
        "loss": table.loss,
        "confidence": table.confidence,
        "mask": {"token_rewards": source.kind, **table.mask} if source else table.mask,
        "online": table.online,
        "reward_scope": table.reward_scope,
    }
    return Method.from_mapping(options)


def training_of_method(config: Configuration, name: str) -> Training:
    """Training options of a stanza of ``methods``: the shared ones, overridden by its own.

    Raises:
        ValidationError: an option is not accepted.
    """
    return Training.model_validate(_options_of_method(config, name))


def training_of(config: Configuration, experiment: Experiment) -> Training:
    """Training options of an experiment: the shared ones, overridden by its method's, overridden by its own.

    Raises:
        ValidationError: an option is not accepted.
    """
    return Training.model_validate(_options_of_method(config, experiment.method) | experiment.training)


def _options_of_method(config: Configuration, name: str | None) -> dict[str, object]:
    shared = config.training.model_dump(exclude_unset=True)
    if name is None:
        return shared
    method = config.methods[name]
    return shared | method.training | ({} if method.beta is None else {"beta": method.beta})
