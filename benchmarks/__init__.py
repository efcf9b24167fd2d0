"""One module per figure that the README claims, each with its peers measured in the same run.

A benchmark is not a test and fails for no figure; it says what was measured, on what, and how much
the rounds differed.
"""
