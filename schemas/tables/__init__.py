"""The schema of each kind of table, a module a stage of the workflow."""
