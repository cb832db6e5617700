"""Decisions, and the words they are made of.

Everything here is pure: no I/O, no framework, no clock of its own (`now` is an argument). What reads or writes the
world lives in `github`, `cluster` and `services`.
"""
