"""What a channel delivers: objects found, ordered, and streamed, copied or mounted; folders and S3 alike."""
