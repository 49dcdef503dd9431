# A worker. torch's own wheel carries the CUDA libraries; the driver comes from the host.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/squeeze
ENV PATH=/opt/squeeze/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# By itself, so that a change of the sources does not fetch gigabytes again.
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt torch==2.13.0
COPY pyproject.toml README.md ./
COPY client client
COPY app app
COPY worker worker
COPY migrations migrations
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt './client[cli]' '.[worker,telemetry]'

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/squeeze --create-home squeeze
COPY --from=build /opt/squeeze /opt/squeeze
ENV PATH=/opt/squeeze/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SQUEEZE_DATA_DIR=/var/lib/squeeze \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /var/lib/squeeze
CMD ["squeeze", "worker"]
