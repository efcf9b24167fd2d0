"""What every log format shares: lines in bounds, rows, parties, and rows into Arrow.

A format is a `Decoder`: it turns one line into no, one or several rows (`row.Row`), and knows
neither files nor Arrow. `lines` cuts files into lines that are never longer than a bound; `parties`
gives every spelling of an identity its one SPIFFE ID; `columns` builds record batches.
"""
