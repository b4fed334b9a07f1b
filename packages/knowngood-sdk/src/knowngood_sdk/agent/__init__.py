"""The side of the data plane that talks: one process for each replica folder, beside its workers."""
