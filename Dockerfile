FROM python:3.11-slim AS build
COPY requirements/base.txt /tmp/
# Wheels only: the image has no compiler, and a source package would run its own code here.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r /tmp/base.txt


FROM python:3.11-slim AS loadtest
COPY requirements/loadtest.txt /tmp/
RUN pip install --no-cache-dir --only-binary=:all: --require-hashes -r /tmp/loadtest.txt \
    && useradd --create-home --uid 10001 locust
COPY loadtest/locustfile.py /loadtest/
USER 10001
WORKDIR /loadtest
EXPOSE 8089
CMD ["locust"]


# Last, so that it is what a plain `docker build .` makes.
FROM python:3.11-slim AS runtime
ENV PATH="/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BIND=0.0.0.0 \
    PORT=8000
WORKDIR /app
# The default SQLite database lives in data: the only place in /app that the service may write to.
RUN useradd --create-home --uid 10001 app \
    && install --directory --owner=app --group=app data
VOLUME ["/app/data"]
COPY --from=build /venv /venv
COPY . .
USER 10001
EXPOSE 8000
# PORT is read when the check runs, so that it may differ from the default above.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live')"]
CMD ["gunicorn", "config.wsgi"]
