"""Online garbage collection, seen from outside: what stays can be pulled, what goes gives its bytes back."""
