"""The application for a WSGI server: ``gunicorn -c conf/gunicorn.conf.py dingospeed.wsgi:app``."""

from __future__ import annotations

from dingospeed.app import create_app
from dingospeed.config import load_settings

app = create_app(load_settings())
