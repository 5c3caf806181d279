"""Redis Cluster: the transport ``redis+cluster://``, in the layout of :mod:`kombu_redis`; :mod:`.slots` says which keys
share a slot."""
