"""What the gateway does with deliveries whose signature is good: whom they concern, and how they are recorded."""
