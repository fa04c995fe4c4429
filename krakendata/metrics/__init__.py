"""Health for machines: whether the service lives and is ready, and its metrics for Prometheus.

`middleware` answers `/health/live`, `/health/ready` and `/metrics`, ahead of everything else; `access` says who may
read the metrics, `readiness` what is away. `schema` is the one table of the metrics; `samples` makes values of them out
of what `reading` read from the database and Redis, `task_outcomes` says how workers leave their outcomes there, and
`exposition` writes Prometheus's format. Nothing is counted in the web process: whichever of them is asked, the answer
is the same.
"""
