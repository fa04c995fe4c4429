"""Who may do what, what a browser may load, how often a password may be tried, and what was done by whom.

`roles` is the table of permissions, pure; `roles_applied` writes it into the database after each migrate.
`content_policy`, `login_limit` and `operator_log` stand in the way of requests: a project names them in its settings
and addresses (docs/explanation/security.md). `away` is what it answers while there is no database to ask.
"""
