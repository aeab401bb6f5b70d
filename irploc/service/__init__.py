"""The service: mapped places that answer over HTTP, and a page that shows people where they are.

``hosting`` holds what answers, ``batching`` the queue in front of it, ``uploads`` what clients send, ``routes/`` and ``app``
put them behind HTTP, ``running`` is the process, ``page/`` what browsers get. Needs the extra ``service``.
"""
