"""Pieces of stacks that are pages of their own."""
