"""One service per kind: observe, plan, apply. They reach the world through `ports` only, and know no framework."""
