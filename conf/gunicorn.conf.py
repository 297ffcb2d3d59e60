"""For ``gunicorn -c conf/gunicorn.conf.py dingospeed.wsgi:app``: the same as ``dingospeed serve``.

Settings come from the file that DINGOSPEED_CONFIG names and from DINGOSPEED_… variables.
Arguments given to gunicorn itself win over what stands here.
"""

import os
import sys

from dingospeed.config import load_settings
from dingospeed.errors import ConfigError
from dingospeed.serve import gunicorn_options

try:
    globals().update(gunicorn_options(load_settings(None, os.environ)))
except ConfigError as error:
    sys.stderr.write(f"dingospeed can not start: {error}\n")
    sys.exit(2)
