"""Tests of the contracts: table schemas, configuration, generated documents."""
