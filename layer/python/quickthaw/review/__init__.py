"""From REPORT lines to a decision: did a change make cold starts cheaper, and how sure is that.

The flow, one module each: `sources` opens logs, `scan` walks their lines,
`report` reads one line, `ledger` adds records up in constant memory (each
number in a `tally`), `compare` makes the typed result out of two ledgers with
`resample`, `rank`, `prices` and `doubts`; `render` shows it.  `cloudwatch`
is the other way in: log groups instead of files.

Everything but `render.table`, `render.plot` and `cloudwatch` needs the
standard library only, because the scheduled function in `handler/review`
runs this package on Lambda.

Unit: milliseconds, unlike the rest of quickthaw.  A REPORT line is written in
them and Lambda bills in whole ones; a conversion would only add rounding.
"""
