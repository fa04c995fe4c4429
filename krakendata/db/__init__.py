"""Django's two doors to the database, one per way of naming it; they differ in how a table becomes a hypertable.

`krakendata.db.timescale` serves `timescale://`, `krakendata.db.postgresql` serves `postgresql://` and `embedded:`.
"""
