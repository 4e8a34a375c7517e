"""Prompts of mixed risk (MHD) of the demo world, made of one explicit (EHD) and one implicit (IHD) seed of it without a
model: the thing of the first, the person of the second, and a plan of the world's for both. Its oracle knows them."""

import json

from trulysafe.common.errors import UserError
from trulysafe.common.kinds import Frame
from trulysafe.data.synthesis import Ask, SynthesisOptions, class_pairs

GROUP = "mixed"


class Options(SynthesisOptions): ...


def asks(seeds: Frame, options: Options) -> list[Ask]:
    """One prompt for each pair of seeds."""
    from trulysafe.data.demo.mixed import mixed

    found = []
    for explicit, implicit in class_pairs(seeds, options):
        try:
            prompt = mixed(json.loads(explicit["meta"]), json.loads(implicit["meta"]), options.seed)
        except UserError as error:
            of = " and ".join(f"{seed['source']} (prompt {seed['prompt_id']})" for seed in (explicit, implicit))
            raise UserError(f"{of}: {error}") from None
        fields = {"risk": prompt.risk, "family": prompt.family, "meta": prompt.meta}
        found.append(Ask(GROUP, (explicit, implicit), fields, text=prompt.text))
    return found
