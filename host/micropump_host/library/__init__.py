"""The drug library: what each drug may be given as, where, and within which limits."""
