"""PKU-SafeRLHF pairs, chosen is the safer response, or with `prefer: better` the more helpful one. A prompt with an
unsafe response counts as harmful. PKU-Alignment/PKU-SafeRLHF, CC BY-NC 4.0. The reduced file at the default path holds
only pairs whose responses differ in safety, and says nothing of helpfulness."""

from typing import Literal

from pydantic import Field

from trulysafe.common.errors import UserError, not_accepted
from trulysafe.data.readers._pku_saferlhf import Reduced, pair
from trulysafe.data.sources import HARMFUL, Fields, HubName, Row, SkipRowError


class Options(Reduced):
    TABLE = "pairs"
    repo: HubName = "PKU-Alignment/PKU-SafeRLHF"
    safety_gap: bool = Field(False, description="Keep only pairs of one safe and one unsafe response.")
    prefer: Literal["safer", "better"] = "safer"
    """Which label says what is chosen: `safer_response_id`, or `better_response_id`, which is of helpfulness whatever
    the harm: for the reward of PPO under a bound on the cost."""


def fields(row: Row, options: Options) -> Fields:
    label = f"{options.prefer}_response_id"
    if "safer_response_id" not in row.values:  # the reduced file
        if options.prefer == "better":
            do = "Read the original from the hub (its repo is the default of this kind), or set prefer: safer."
            raise UserError(f"{row.where}: it has no {label}, so it says nothing of helpfulness. {do}")
        return pair(row) | {"meta": HARMFUL}
    if (given := row.fact(label)) not in ("0", "1"):
        raise not_accepted(f"{row.where}: {label}", given, ("0", "1"))
    best, safe = int(given), [row.flag(f"is_response_{side}_safe") for side in (0, 1)]
    if options.safety_gap and safe[0] == safe[1]:
        raise SkipRowError("both responses equally safe")
    chosen, rejected = row.text(f"response_{best}"), row.text(f"response_{1 - best}")
    return {"prompt": row.text("prompt"), "chosen": chosen, "rejected": rejected, "meta": {} if all(safe) else HARMFUL}
