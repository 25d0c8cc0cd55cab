"""Hardware-in-the-loop suites for Micropump: benches, rigs and instruments."""
