"""What a report is made of, whatever it tells: sentences, tables, times and names that may be hostile."""
