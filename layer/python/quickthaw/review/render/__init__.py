"""Shows a comparison: `table` (terminal), `document` (JSON), `rows` (CSV), `markdown`, `page` (HTML), `plot`.

Each takes the record of `compare` and computes nothing that is not about
showing it.  `wording` holds what several of them say.
"""
