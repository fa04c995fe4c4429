"""The operator's pages, dressed by unfold; a project that runs Django's plain admin gets none of them.

`pages` says what a page is, `paging` how big tables are read. One file a subject: `status`, `runs`,
`rejects` and `reject_deciding`, `browse`, `live`, `registry` (pairs, import files, retention), `tokens` (who may
ask the HTTP API), `onboarding` (tracking a pair), `uploads` (archives through the browser), `completeness_map`,
`pair_page`, `overview` (the first page), `desk` (what it shows), `remedies` (what its buttons do), `third_party`
(others' pages), `schedules` (what runs when), `people` (accounts), `operators` (who did what).
"""

from django.apps import apps

if apps.is_installed("unfold"):
    from krakendata.admin import (  # noqa: F401
        operators,
        registry,
        rejects,
        runs,
        schedules,
        third_party,
        tokens,
        uploads,
    )
