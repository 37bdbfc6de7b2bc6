# The gateway, for Docker and for clusters (docs/howto/deploy-kubernetes.md). `make image` builds it.
# Pin the base with --build-arg BASE_IMAGE=python:3.12-slim@sha256:…; EXTRAS=kubernetes,s3,aws adds buckets and queues.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ARG EXTRAS=kubernetes
COPY pyproject.toml /source/
# Dependencies first: they change more rarely than the code.
RUN python3 -c "import sys, tomllib; project = tomllib.load(open('/source/pyproject.toml', 'rb'))['project']; \
extras = [project['optional-dependencies'][name] for name in sys.argv[1].split(',') if name]; \
print(*project['dependencies'], *sum(extras, []), sep='\n')" "${EXTRAS}" > /requirements.txt \
 && python3 -m venv --without-pip /opt/gateway \
 && python3 -m pip --python /opt/gateway/bin/python install --no-cache-dir --requirement /requirements.txt \
 && find /opt/gateway -path '*/kubernetes/*/models/__pycache__' -prune -exec rm -r {} +
COPY . /source
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source \
 && python3 -m pip --python /opt/gateway/bin/python install --no-cache-dir --no-deps /wheels/*.whl

FROM ${BASE_IMAGE}
RUN install --directory --owner 65532 --group 65532 --mode 0700 /var/lib/fabric-jobs
COPY --from=build /opt/gateway /opt/gateway
# State is in a directory below the volume: its mode stays as it is, whatever a cluster does to that of the volume.
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    FABRIC_JOBS_STATE_DIR=/var/lib/fabric-jobs/state
WORKDIR /var/lib/fabric-jobs
USER 65532:65532
EXPOSE 8420
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \
  "from urllib.request import urlopen; urlopen('http://127.0.0.1:8420/readyz', timeout=4)"]
ENTRYPOINT ["fabric-jobs"]
CMD ["serve", "--host=0.0.0.0", "--port=8420"]
