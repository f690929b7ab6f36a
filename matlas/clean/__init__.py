"""From raw files to a clean dataset and the rows that were refused.

raw           tables as they stand: workbooks, CSV, TSV, Parquet, JSON
compositions  a raw table of formulas
images        a folder of images, and what each of them holds
labels        the classes of images, by folder, name or table
rejects       how a refused row is recorded, and how many there may be
"""
