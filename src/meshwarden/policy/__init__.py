"""May it: access policy as code, the evaluator that defines it, and its compiled targets."""
