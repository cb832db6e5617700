"""A GitHub that fits on one machine: laid out like Enterprise Server, checked against GitHub's own documents.

`model` says what exists, `world` holds it and finds it; everything else reads and changes that one world. Nothing here
is imported by the product.
"""
