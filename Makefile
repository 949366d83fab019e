# Kith: `make run` sets up and talks, `make test` sets up and checks everything.
