"""Fill a working database from an archive or plain SQL, with several sessions."""
