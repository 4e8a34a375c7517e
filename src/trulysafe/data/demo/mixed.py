"""Prompts of mixed risk that are made of an explicit and an implicit one."""

import random
from collections.abc import Mapping
from typing import Any

from trulysafe.common.errors import UserError
from trulysafe.common.ids import stable_seed
from trulysafe.data.demo.world import Prompt, asked, build_world


def mixed(explicit: Mapping[str, Any], implicit: Mapping[str, Any], seed: int = 0) -> Prompt:
    """The MHD prompt about the thing of an EHD prompt and the person of an IHD prompt, which their decoded ``meta``
    describe; the same two and ``seed`` give the same prompt.

    Topic and frame have the role of the explicit prompt's topic, so that prompts made for alignment hold nothing that
    evaluation asks about. UserError: the two are not of one demo world.
    """
    try:
        known = [(int(meta["world"]), str(meta["topic"]), str(meta["entity"])) for meta in (explicit, implicit)]
        (number, topic, thing), (other, _, person) = known
        role = build_world(number).topics["EHD"][topic][1]
    except (KeyError, TypeError, ValueError) as error:
        do = "Name data sets of the kind demo that hold EHD and IHD prompts, such as the part harmful."
        raise UserError(f"a seed prompt is not of the demo world ({type(error).__name__}). {do}") from None
    if number != other:
        raise UserError(f"seed prompts are of the demo worlds {number} and {other}. Name data sets of one world.")
    world, rng = build_world(number), random.Random(stable_seed("demo mixed", seed, *known[0], *known[1]))
    name, plan = rng.choice([(name, plan) for name, (plan, of) in world.topics["MHD"].items() if of == role])
    frames = [(index, frame) for index, (frame, of) in enumerate(world.frames["MHD"]) if of == role]
    index, frame = rng.choice(frames)
    return Prompt(asked("MHD", plan, frame, thing, person), "mixed", number, "MHD", name, index, thing, person)
