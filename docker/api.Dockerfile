# The API: no training framework in it.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/squeeze
ENV PATH=/opt/squeeze/bin:$PATH
WORKDIR /src
COPY pyproject.toml README.md constraints.txt ./
COPY client client
COPY app app
COPY worker worker
COPY migrations migrations
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt './client[cli]' '.[telemetry]'

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/squeeze --create-home squeeze
COPY --from=build /opt/squeeze /opt/squeeze
ENV PATH=/opt/squeeze/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SQUEEZE_DATA_DIR=/var/lib/squeeze \
    SQUEEZE_HOST=0.0.0.0 \
    SQUEEZE_PORT=8000
USER 10001
WORKDIR /var/lib/squeeze
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["squeeze", "api"]
