"""The shipped fake: the same ledger in a database that lives in memory and is gone with the process."""
