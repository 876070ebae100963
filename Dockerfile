# An image that serves bundles: docker build -t recdistill . && docker run -p 8000:8000 -v "$PWD/runs/demo/bundle:/bundle:ro" recdistill
# docs/serving.md says the rest. No torch, no compiler, no shell script; it runs as a user without rights.
FROM python:3.11-slim AS build
COPY requirements-serve.lock /build/
RUN python -m venv /opt/recdistill \
 && /opt/recdistill/bin/pip install --no-cache-dir --no-deps --require-hashes -r /build/requirements-serve.lock
COPY pyproject.toml README.md LICENSE /build/
COPY src /build/src
RUN /opt/recdistill/bin/pip install --no-cache-dir --no-deps --no-build-isolation /build \
 && /opt/recdistill/bin/pip check \
 && /opt/recdistill/bin/pip uninstall --yes setuptools wheel pip

FROM python:3.11-slim
COPY --from=build /opt/recdistill /opt/recdistill
RUN useradd --system --uid 10001 --no-create-home recdistill
USER 10001
ENV PATH=/opt/recdistill/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 ORT_DISABLE_TELEMETRY=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
ENTRYPOINT ["recdistill", "serve"]
CMD ["/bundle", "--host", "0.0.0.0", "--drain", "5"]
