"""What Keras imports only when it is used, for a process that programs are forked from (`trainjob.launching`)."""
