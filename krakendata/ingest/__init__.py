"""The deeds that bring data in: archives here, later the REST backfill, the gap filler and the live writer.

A deed reads from a world (kraken), asks the rules, and writes through the one door (storage.bulk).
"""
