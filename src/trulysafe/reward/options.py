"""Options of a fit of the hybrid reward, known without torch."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from trulysafe.common.option_errors import error_at
from trulysafe.common.options import Below1, Count, Flag, NotNegative, Number, PublicTable

Baseline = Literal["best_layer", "concatenated", "mean_of_layers"]
"""What a hybrid reward may be compared with, see :data:`trulysafe.reward.baselines.BASELINES`."""


class FitOptions(PublicTable):
    """What :func:`trulysafe.reward.fit.fit_hybrid_reward` takes beside states, seed and groups."""

    WHERE: ClassVar = "fit"

    epochs: Count = Field(50, description="Passes over the training pairs, per stage.")
    learning_rate: NotNegative = Field(1e-3, description="Of Adam.")
    weight_decay: NotNegative = Field(0.01, description="Of Adam (added to the gradient).")
    margin: Number = Field(1.0, description="By how much the safe response should win.")
    two_stage: Flag = Field(False, description="Train each layer's probe on its own first, the gates second.")
    initialise: Literal["random", "probes", "stack"] = "random"
    """`random` (paper); `probes`: each layer's logistic regression (regularised, fitted apart) and equal gates, such
    that the reward starts as the mean of the layers' log-odds; or `stack`: each layer's ridge regression and constant
    weights of the layers, in closed form, with zero and temperature."""
    trained: Literal["all", "probes", "gates", "none"] | None = None
    """Parameters that training moves: `all` (paper), `probes` or `gates` alone, the others staying as initialised, or
    `none`. Left out, it is `none` for a `stack` and else `all`."""
    pairing: Literal["given", "crossed"] = "crossed"
    """`given` (paper): a safe response is set against the unsafe one of its own pair. `crossed`: against a random one,
    drawn anew in each epoch."""
    standardise: Literal["none", "global", "layer", "feature"] = "global"
    """`none` (paper); or centre each feature and divide by one scale for all layers (`global`), one per layer (`layer`)
    or one per feature (`feature`), such that states have the root mean square norm `STATE_NORM` (with `global`:
    averaged over layers). Fitted on the training pairs and stored in the model."""
    calibrate: Flag = True
    """Fit offset and temperature on the validation pairs; a `stack` that is not trained on has them from its own
    pairs."""
    validation_share: Below1 = 0.1
    """Share of the pairs (or groups) held out, for calibration and for the online reward."""
    early_stopping: Literal["soft", "hard", "true"] | None = None
    """Keep the epoch with the best `soft`, `hard` or `true` accuracy of the raw reward on the validation pairs (ties:
    the lower loss); none keeps the last."""
    batch_size: Count = Field(32, description="Pairs per step.")

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        if self.moves == "none" and self.initialise == "random":
            raise error_at("trained", "'none' would leave random weights. Set initialise to stack or probes.")
        of_training = ("epochs", "learning_rate", "weight_decay", "margin", "pairing", "early_stopping", "batch_size")
        for key in of_training if self.moves == "none" else ():
            if getattr(self, key) != type(self).model_fields[key].default:
                why = f"has no effect, since initialise: {self.initialise} is not trained on"
                raise error_at(key, f"{why}. Leave it out, or set trained to all, or initialise to random.")
        if self.two_stage and self.trained not in (None, "all"):
            why = f"{self.trained!r} with two_stage: two stages train probes and gates in turn"
            raise error_at("trained", f"{why}. Set trained to all.")
        if not self.validation_share and ((self.calibrate and not self.closed) or self.early_stopping):
            do = "Raise it, or set both off."
            raise error_at("validation_share", f"0 leaves no pairs for calibrate and early_stopping. {do}")
        return self

    @property
    def moves(self) -> str:
        """What training moves: ``trained``, or what it is where it is left out."""
        return self.trained or ("none" if self.initialise == "stack" and not self.two_stage else "all")

    @property
    def closed(self) -> bool:
        """Whether the reward is a stack as it stands, with a zero and a temperature of its own."""
        return (self.initialise, self.moves) == ("stack", "none")
