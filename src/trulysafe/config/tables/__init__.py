"""The typed configuration: component tables that experiments refer to by name.

Every field's description is its documentation: ``config/README.md`` is generated from these files. Numbers are read
laxly (YAML takes ``1e-6`` for a text); unknown keys are refused.
"""
