"""Pydantic models of everything under config/: misspelt keys and wrong types are errors, never ignored.

settings, sources, datasets, views, methods, studies   a module a file (or folder) of config/
atlas                                                  all of it together, names resolved
base                                                   what they are made of
"""
