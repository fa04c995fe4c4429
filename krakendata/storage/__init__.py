"""The database's room: connections, the one door for writing, the ledger, rollups, upkeep and all SQL.

psycopg lives here and nowhere else. Imports only the rules and the words.
"""
