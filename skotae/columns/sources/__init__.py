"""Rows that are not in memory: how they are found, read, checked and measured."""
