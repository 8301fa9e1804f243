"""The page that a browser shows of the jobs: rendered here, read only, for the owner of the endpoint's key."""
