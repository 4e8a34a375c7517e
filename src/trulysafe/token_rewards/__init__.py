"""Token rewards r_t for AMA (Equilibrate RLHF): constants that centre and scale them here, their sources beside the hybrid reward in submodules.

:mod:`trulysafe.token_rewards.sources` makes an artefact of a source, :mod:`trulysafe.token_rewards.classifier` fits one. Both are imported
from there, so that a rule's code fingerprint covers what it uses and no more.
"""

from trulysafe.token_rewards.scale import (
    FORMS,
    TokenScale,
    fit_scale,
    implicit,
    load_scale,
    prefix_form,
    save_scales,
)

__all__ = ["FORMS", "TokenScale", "fit_scale", "implicit", "load_scale", "prefix_form", "save_scales"]
