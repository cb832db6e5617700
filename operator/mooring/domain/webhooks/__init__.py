"""Webhooks: keys and proofs, what a delivery says, whom it concerns, and what is recorded of it. Pure."""
