"""Why runs failed: groups of failures, and the condition on parameters that explains each."""
