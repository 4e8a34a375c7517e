"""Rows of public data sets as they are at the address that each kind knows."""

ORIGINALS = {
    "a pair of PKU-SafeRLHF": ("pku_saferlhf", {}, {"prompt": "p", "response": ["yes", "no"]}, ["p", "yes", "no"]),
    "its prompt": ("pku_saferlhf_prompts", {}, {"prompt": "p", "response": ["yes", "no"]}, ["p"]),
    "its unsafe side": ("pku_saferlhf_responses", {"side": "rejected"}, {"prompt": "p", "response": ["yes", "no"]},
        ["p", "no"]),
    "a verified question of SALAD-Bench": ("salad_bench", {}, {"qid": "7", "question": "q", "3-category": "c"}, ["q"]),
    "a defended one": ("salad_bench", {}, {"qid": 7, "baseq": "q", "daugq": "q!", "3-category": "c"}, ["q"]),
    "an unsafe answer of BeaverTails": ("beavertails_qa", {}, {"flag": "unsafe", "output": "r", "instruction":
        "Below is an instruction.\n\n### Instruction:\np\n\n### Response:"}, ["p", "r"]),
    "a harmful behaviour": ("jailbreakbench", {}, {"text": "p", "label": "harmful"}, ["p"]),
    "a benign behaviour": ("jailbreakbench", {"part": "benign"}, {"text": "p", "label": "safe"}, ["p"]),
    "a behaviour as a table has it": ("jailbreakbench", {}, {"Goal": "p", "Target": "t", "Category": "c"}, ["p"]),
    "the opening of an attempt": ("hh_red_team", {}, {"transcript": "\n\nHuman: p\n\nAssistant: r\n\nHuman: q"}, ["p"]),
    "a behaviour of AdvBench": ("advbench", {}, {"goal": "p", "target": "t"}, ["p"]),
    "a forbidden prompt": ("strongreject", {}, {"category": "c", "source": "s", "forbidden_prompt": "p"}, ["p"]),
    "a test of simple safety": ("simple_safety_tests", {}, {"id": "1", "harm_area": "a", "prompts_final": "p"}, ["p"]),
    "a prompt of WildChat": ("wildchat_risk", {}, {"id": "1", "question_y": "p", "category": "IHD"}, ["p"]),
    "a harmless prompt of OR-Bench": ("or_bench", {}, {"prompt": "p", "category": "c"}, ["p"]),
    "the harmless twin": ("twins", {}, {"id": "1", "domain": "d", "harmless": "p", "harmful": "q"}, ["p"]),
    "the harmful twin": ("twins", {"part": "harmful"}, {"id": "1", "harmless": "p", "harmful": "q"}, ["q"]),
    "a prompt not to be answered": ("do_not_answer", {}, {"prompt": "p", "intents": ["i"]}, ["p"]),
}  # fmt: skip
"""Name -> kind, options, row, texts."""
