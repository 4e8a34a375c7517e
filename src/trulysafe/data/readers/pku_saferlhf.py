"""PKU-SafeRLHF pairs, chosen is the safer response. PKU-Alignment/PKU-SafeRLHF, CC BY-NC 4.0. A prompt with an unsafe
response counts as harmful. The reduced file at the default path holds only pairs whose responses differ in safety."""

from pydantic import Field

from trulysafe.common.errors import not_accepted
from trulysafe.data.readers._pku_saferlhf import Reduced, pair
from trulysafe.data.sources import HARMFUL, Fields, HubName, Row, SkipRowError


class Options(Reduced):
    TABLE = "pairs"
    repo: HubName = "PKU-Alignment/PKU-SafeRLHF"
    safety_gap: bool = Field(False, description="Keep only pairs of one safe and one unsafe response.")


def fields(row: Row, options: Options) -> Fields:
    if "safer_response_id" not in row.values:  # the reduced file
        return pair(row) | {"meta": HARMFUL}
    if (given := row.fact("safer_response_id")) not in ("0", "1"):
        raise not_accepted(f"{row.where}: safer_response_id", given, ("0", "1"))
    safer, safe = int(given), [row.flag(f"is_response_{side}_safe") for side in (0, 1)]
    if options.safety_gap and safe[0] == safe[1]:
        raise SkipRowError("both responses equally safe")
    chosen, rejected = row.text(f"response_{safer}"), row.text(f"response_{1 - safer}")
    return {"prompt": row.text("prompt"), "chosen": chosen, "rejected": rejected, "meta": {} if all(safe) else HARMFUL}
