"""From raw files to a clean dataset and the rows that were refused.

raw             tables as they stand: workbooks, CSV, TSV, Parquet, JSON
columns         cells as numbers or text in the stated units
compositions    a raw table of formulas
crystal_tables  tables of crystals as they stand
crystals        their structures parsed, checked and described, and all tables together
images          a folder of images, and what each of them holds
cubes           a spectrum image, and what each of its pixels holds
labels          the classes of images, by folder, name or table
rejects         how a refused row is recorded, and how many there may be
"""
