"""The demo world: a small, generated, mild safety world in plain English with an oracle that classes any answer
exactly.

`EHD` prompts ask for something risky without malice, `IHD` prompts are malicious about harmless matters, `MHD` prompts
are both; look-alikes use scary words harmlessly; general questions have one right answer. What a base model knows, what
alignment sees and what evaluation asks are kept apart by topic and by frame (:mod:`trulysafe.data.demo.world`).
"""
