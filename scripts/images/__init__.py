"""The training images, seen from outside: what is built, from which commit, what is in it, and how large it is."""
