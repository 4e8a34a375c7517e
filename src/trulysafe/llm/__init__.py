"""One client for every stage that asks a language model: a local Hugging Face model or an OpenAI-compatible endpoint.

A stage gets a :class:`Client` from :func:`open_client`, asks conversations, and receives answers in their order. The
client looks each one up in a cache on disk before it asks, and stores every answer as it comes; so a stage that was
killed, or whose endpoint failed, goes on where it stopped. :func:`ask_for` asks for JSON of a given form, and asks
again with the error where an answer has not that form.
"""
