"""Faults and bad input, injected for real; docs/faults.md lists each with the test that shows it."""
