"""What leaves a client, what it tells, and what bounds it; what a server does with an upload that lies."""
