"""Options of a base model that is trained from scratch, known without torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from trulysafe.common.options import Below1, Count, NotNegative, Positive, PublicTable, Table


class Architecture(Table):
    """Size of a Llama-style model; the names are those of ``transformers.LlamaConfig``."""

    vocab_size: Count = Field(4096, description="Tokens, at most; the vocabulary may come out smaller.")
    hidden_size: Count = Field(128, description="Width of a hidden state.")
    intermediate_size: Count = Field(384, description="Width within the feed-forward blocks.")
    num_hidden_layers: Count = Field(4, description="Layers.")
    num_attention_heads: Count = Field(4, description="Heads; `hidden_size` must be a multiple.")
    num_key_value_heads: Count = Field(4, description="Heads of keys and values, of which those are a multiple.")
    max_position_embeddings: Count = Field(512, description="Longest conversation, tokens.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            heads = f"num_attention_heads {self.num_attention_heads}"
            said = f"hidden_size {self.hidden_size} must be a multiple of {heads}"
            raise ValueError(f"{said}, and that of num_key_value_heads {self.num_key_value_heads}.")
        return self


class Pretraining(Table):
    """How a base model is trained from scratch."""

    steps: Count = Field(900, description="Optimiser steps.")
    batch_size: Count = Field(32, description="Conversations per step.")
    learning_rate: Positive = Field(4e-3, description="Peak of AdamW, cosine decay.")
    warmup_ratio: Below1 = Field(0.1, description="Share of the steps with rising learning rate.")
    weight_decay: NotNegative = Field(0.01, description="Of AdamW.")
    max_length: Count = Field(256, description="Longer conversations are cut, tokens.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="`bfloat16` means autocast.")
    loss_on: Literal["response", "all"] = Field("response", description="`all` also learns the prompts.")


class FromScratch(PublicTable):
    """Architecture and training of a base model, which must fit each other."""

    architecture: Architecture = Field(Architecture(), description="Size of the Llama-style model.")
    training: Pretraining = Field(Pretraining(), description="How it is trained.")

    @model_validator(mode="after")
    def _conversations_fit(self) -> Self:
        if self.training.max_length > self.architecture.max_position_embeddings:
            most = f"architecture.max_position_embeddings {self.architecture.max_position_embeddings}"
            found = f"training.max_length {self.training.max_length} is more than {most}"
            raise ValueError(f"{found}. Lower the one or raise the other.")
        return self
