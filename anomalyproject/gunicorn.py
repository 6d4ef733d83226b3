"""How gunicorn serves: threads, since POST /train waits for its training without using a core."""

import os

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '5000')}"
workers = int(os.environ.get("WEB_WORKERS", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "16"))
timeout = 60  # of a worker that no longer answers; a waiting request does not count
graceful_timeout = 5
keepalive = 5
control_socket_disable = True  # it would listen in the home directory
