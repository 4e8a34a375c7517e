"""Tokenizers and wordings built as those of guard models, and what a judge sends them, by hand."""

from __future__ import annotations

import json
from functools import partial

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from trulysafe.judges import harmbench_cls, md_judge, polyguard, strongreject, wildguard
from trulysafe.judges._guard import chat_prompt

QWEN = (
    "{%- if messages[-1].role == 'user' -%}{{- '<|im_start|>user\nRate the query.\n\n' -}}{%- else -%}"
    "{{- '<|im_start|>user\nRate the response.\n\n' -}}{%- endif -%}"
    "{%- for message in messages -%}{%- if loop.first -%}{{- 'USER: ' + message.content -}}{%- else -%}"
    "{{- '\n\n' + message.role.upper() + ': ' + message.content -}}{%- endif -%}{%- endfor -%}"
    "{{- '\n\nThree lines.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n' -}}"
)
"""Built as Qwen3Guard-Gen's template: the last role chooses the question, turns by name, thoughts closed at the end."""
LLAMA = (
    "{% if messages|length % 2 == 0 %}{% set role = 'Agent' %}{% else %}{% set role = 'User' %}{% endif %}"
    "{{ '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nRate ' ~ role ~ '.\n' }}"
    "{% for message in messages %}{% set content = CONTENT | trim %}{% if message['role'] == 'user' %}"
    "{{ '\nUser: ' ~ content ~ '\n' }}{% else %}{{ '\nAgent: ' ~ content ~ '\n' }}{% endif %}{% endfor %}"
    "{{ '\nOne word.<|eot_id|><|start_header_id|>assistant<|end_header_id|>' }}"
)
"""Built as Llama Guard 3's and 2's: the number of turns chooses the role that is rated, no blank lines at the end."""
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As Qwen2.5's."""
WHOLE, PARTS = "message['content']", "(message['content'] | selectattr('type', 'equalto', 'text') | first)['text']"
FAMILIES = {
    "qwen3guard": (QWEN, ("<|im_start|>", "<|im_end|>", "<|endoftext|>"), None, "<|im_end|>"),
    "llama_guard": (
        LLAMA.replace("CONTENT", WHOLE),
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>",
        "<|eot_id|>",
    ),
    "wildguard": (None, ("<s>", "</s>", "<|user|>", "<|assistant|>"), "<s>", "</s>"),
    "harmbench_cls": (None, ("<s>", "</s>"), "<s>", "</s>"),
    "md_judge": (None, ("<s>", "</s>"), "<s>", "</s>"),
    "polyguard": (CHATML, ("<|im_start|>", "<|im_end|>", "<|endoftext|>"), None, "<|im_end|>"),
    "strongreject": (None, ("<bos>", "<eos>"), "<bos>", "<eos>"),
}
CARD = (
    'A card.\n```\nform = """<s><|user|>\n[INST] Rate {x}.\n<|assistant|>\n"""\n```\n'
    'form = """<s><|user|>\n[INST] Rate.\n\nHuman user:\n{prompt}\n\nAI assistant:\n{response}\n\n[/INST]\n'
    '<|assistant|>\n"""\n'
)
"""Built as WildGuard's model card, with another form in front."""
CLASSIFIER = (
    "[INST] <<SYS>>\nYes or no.\n<</SYS>>\n\n[BEHAVIOR]:\n{behavior}\n\n[GENERATION]:\n{generation}\n\nAnswer: [/INST]"
)
EVAL_UTILS = f"A = {{\n  'prompt': '''{CLASSIFIER}''',\n  'other': '''[INST] <<SYS>>{{context}} [/INST]'''\n}}\n"
"""Built as HarmBench's eval_utils.py."""
POLICY = "O1: Cakes\n- Should not: 'burn' them.\n"
QUESTION = "\nTask: Rate 100%% of it.\n\n{TASK_POLICY.strip()}\n\nUser: %s\nAgent: %s\n\n- First 'safe' or 'unsafe'.\n"
TEMPLATES = (
    f'DOMAIN_POLICY = """\nO1: All\n"""\n\nTASK_POLICY = """\n{POLICY}"""\n\n'
    f'TASK_QAPAIR_TEMPLATE = f"""\n{QUESTION}"""\n\nDOMAIN_QAPAIR_TEMPLATE = f"""\n{{DOMAIN_POLICY.strip()}}%s%s"""\n'
)
"""Built as SALAD-Bench's template.py."""
GRADE = (
    "User instruction: {forbidden_prompt}\n\nAI model response: {response}\n\nGrade it\u2019s 1 to 5.\n\n### Answer: "
)
JUDGE_TEMPLATES = json.dumps({"pair": "Rate {x}.", "strongreject_finetuned": GRADE})
"""Built as strong_reject's judge_templates.json."""
SYSTEM, USER = "Classify it.\n\nS1: Cakes.", "Human user:\n{prompt}\n\nAI assistant:\n{response}"
INFERENCE = f'SYSTEM_PROMPT = """{SYSTEM}"""\n\n\nUSER_PROMPT = """{USER}"""\n'
"""Built as PolyGuard's inference.py, which its model card shows."""
FILES = {
    "README.md": CARD + INFERENCE,
    "eval_utils.py": EVAL_UTILS,
    "template.py": TEMPLATES,
    "judge_templates.json": JUDGE_TEMPLATES,
}
"""File of the authors' -> what stands beside a tiny model."""
OWN = {"harmbench_cls": {"wording": "eval_utils.py"}, "md_judge": {"wording": "template.py"}}
OWN["strongreject"] = {"wording": "judge_templates.json"}
"""Options that a judge cannot do without, files by their names."""
FORM = CARD[CARD.rindex("<s>") : CARD.rindex("\n")].removesuffix('\n"""')


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes with a guard model's special tokens and a template built as its own."""
    template, special, bos, eos = FAMILIES[kind]
    letters = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(vocab=letters, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(special))
    if template is None:  # as Llama 2's, Mistral's and Gemma's
        core.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, len(letters))])
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=bos, eos_token=eos, additional_special_tokens=list(special)
    )
    made.chat_template = template
    return made


def tokens(made: PreTrainedTokenizerFast, *parts: str) -> list[str]:
    """The tokens of a prompt: a part that is a special token is one, and all else is one token per byte."""
    special = set(made.all_special_tokens)
    alone = [[part] if part in special else made.convert_ids_to_tokens(bytes_of(made, part)) for part in parts]
    return [token for row in alone for token in row]


def bytes_of(made: PreTrainedTokenizerFast, text: str) -> list[int]:
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return made.convert_tokens_to_ids([letter for piece, _ in pieces for letter in piece])


def sent(kind: str, made: PreTrainedTokenizerFast, prompt, response: str) -> list[str]:
    """What the judge sends, as tokens."""
    known = {
        "wildguard": partial(wildguard._prompt, made, f"{FORM}\n"),
        "harmbench_cls": partial(harmbench_cls._prompt, made, CLASSIFIER),
        "polyguard": partial(polyguard._prompt, made, SYSTEM, USER),
        "strongreject": partial(strongreject._prompt, made, GRADE),
        "md_judge": partial(md_judge._prompt, made, QUESTION.replace("{TASK_POLICY.strip()}", POLICY.strip())),
    }
    of = known.get(kind) or chat_prompt(made)
    return list(made.convert_ids_to_tokens(of(prompt, response)))


def expected(kind: str, made: PreTrainedTokenizerFast, prompt: str, response: str) -> list[str]:
    """The same by hand, of one turn."""
    if kind == "qwen3guard":
        body = f"user\nRate the response.\n\nUSER: {prompt}\n\nASSISTANT: {response}\n\nThree lines."
        end = ("<|im_end|>", "\n", "<|im_start|>", "assistant\n<think>\n\n</think>\n\n")
        return tokens(made, "<|im_start|>", body, *end)
    if kind == "wildguard":
        body = f"\n[INST] Rate.\n\nHuman user:\n{prompt}\n\nAI assistant:\n{response}\n\n[/INST]\n"
        return tokens(made, "<s>", "<|user|>", body, "<|assistant|>", "\n")
    if kind == "harmbench_cls":
        body = f"Yes or no.\n<</SYS>>\n\n[BEHAVIOR]:\n{prompt}\n\n[GENERATION]:\n{response}\n\nAnswer: [/INST]"
        return tokens(made, "<s>", f"[INST] <<SYS>>\n{body}")
    if kind == "polyguard":
        user = f"user\nHuman user:\n{prompt}\n\nAI assistant:\n{response}"
        turns = ("<|im_start|>", f"system\n{SYSTEM}", "<|im_end|>", "\n", "<|im_start|>", user, "<|im_end|>", "\n")
        return tokens(made, *turns, "<|im_start|>", "assistant\n")
    if kind == "strongreject":
        asked = ("<bos>", f"User instruction: {prompt}\n\nAI model response: ", "<bos>", response)
        return tokens(made, *asked, "\n\nGrade it\u2019s 1 to 5.\n\n### Answer: ")
    if kind == "md_judge":
        task = f"Task: Rate 100% of it.\n\n{POLICY.strip()}\n\nUser: {prompt}\nAgent: {response}"
        return tokens(made, "<s>", f"[INST] {task}\n\n- First 'safe' or 'unsafe'. [/INST]")
    header = ("<|begin_of_text|>", "<|start_header_id|>", "user", "<|end_header_id|>")
    body = f"\n\nRate Agent.\n\nUser: {prompt}\n\nAgent: {response}\n\nOne word."
    return tokens(made, *header, body, "<|eot_id|>", "<|start_header_id|>", "assistant", "<|end_header_id|>")
