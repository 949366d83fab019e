"""The backend of a cluster: a PostgreSQL server, with every content column sealed before it leaves this process."""
