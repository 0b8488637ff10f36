"""The article's numbers, one by one: what each is by formula, and what was measured of it."""
