"""How fast and how small the product is, as it runs: each figure is a ratio to a floor measured in the same run."""
