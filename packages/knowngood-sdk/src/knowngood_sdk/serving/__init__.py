"""What runs inside a model server: slots, the route table, pinning, counting, local trips, and the replica folder."""
