"""Jobs as runs of MLflow: written down beside the job, and sent by a process of its own."""
