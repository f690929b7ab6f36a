"""How an embedding can fail, each failure measured on the data and on data in which it is planted.

study       all audits of one encoder
subject     the encoder under audit, what it makes of the rows, and how it is trained again
shortcut    the code carries the place in the file
families    families that the encoder never saw pass for known
polymorphs  crystals of one composition become one
sources     the code tells two sources apart
drift       later rows are rebuilt worse

A planted failure that an audit doesn't catch says that the audit is blind, not that the code is sound.
"""
