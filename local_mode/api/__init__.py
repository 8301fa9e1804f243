"""The HTTP face: AWS's wire protocol in front of the jobs, all other services behind it."""
