"""The schema's history. The SQL lies in storage/sql; a released file is never edited, a later one follows it."""
