"""What a policy reaches, as sets: who may send which requests to whom, and how two policies differ.

- `grant`: one rule as seen by one caller. `tree`: the path patterns of one pair as a trie, and what
  covers or meets a pattern. `compiled`: all pairs, for 200,000 decisions a second.
- `diff`: the exact difference of two policies; `side`: the policy that one is held against;
  `change`: one part of it; `render` writes it.

Exact, because the grammar of patterns is closed under what is asked here: placeholders take any
segment, so a pattern lies within a union of others if and only if one path of it does whose
placeholders are unlike every literal (`tree.generic_paths`).
"""

from meshwarden.policy.reach.change import Change, ChangeKind
from meshwarden.policy.reach.compiled import CompiledPolicy
from meshwarden.policy.reach.diff import PolicyDiff, diff_policies
from meshwarden.policy.reach.render import render_diff, render_diff_markdown

__all__ = [
    "Change",
    "ChangeKind",
    "CompiledPolicy",
    "PolicyDiff",
    "diff_policies",
    "render_diff",
    "render_diff_markdown",
]
