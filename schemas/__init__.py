"""Contracts, apart from the code that keeps them.

fields        the data dictionary: every column once, with unit, range and citation
table         what a table is: key, columns, checks; turned into a pandera schema
tables/       the schema of each kind of table, a module a stage
config        pydantic models of everything under config/
strict_yaml   YAML mappings in which every key stands once
loading       config/ read, checked and cross-referenced
"""
