"""The objects of the embedded S3 on disk; knows files and HTTP's headers, nothing of moto."""
