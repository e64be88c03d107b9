"""What is kept until replicas or disks have it, and what that says about a state."""
