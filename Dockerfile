# Tag and digest go together, and with metadata.yaml's. To build on another base: --build-arg BASE_IMAGE=…
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.0@sha256:1d1aa21d34e851df4e8a87b391c27724c06e2597608e7161f4d167be853bd7b6

FROM ${BASE_IMAGE} AS builder
# Whoever the base image runs as.
USER root
WORKDIR /build
RUN python -m venv /venv
COPY pyproject.toml poetry.lock ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        >requirements.txt \
    && python -c 'import tomllib; \
        print(*map("{0[name]}=={0[version]}".format, tomllib.load(open("poetry.lock", "rb"))["package"]), sep="\n")' \
        >constraints.txt \
    && /venv/bin/pip install --no-compile -r requirements.txt -c constraints.txt
COPY . ./
RUN /venv/bin/pip install --no-compile --no-deps --target /connector . \
    && cp main.py /connector \
    && rm -r /connector/bin \
    # Nothing is installed any more, and nobody runs other projects' tests.
    && /venv/bin/pip uninstall -y pip \
    && find /venv/lib -type d -name tests -prune -exec rm -r {} + \
    # Bytecode that holds whatever time its source's file says.
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib /connector

FROM ${BASE_IMAGE}
USER root
COPY --from=builder /venv /venv
WORKDIR /airbyte/integration_code
COPY --from=builder /connector ./
ENV PATH=/venv/bin:$PATH
# The base image has no bytecode of some of Python's own modules, and the connector's user could not keep it.
RUN python -c 'import destination_redis.connection.ssh_tunnel' && python main.py spec >/dev/null
USER airbyte

LABEL io.airbyte.version="1.0.0" io.airbyte.name="airbyte/destination-redis"
ENV AIRBYTE_ENTRYPOINT="python /airbyte/integration_code/main.py"
ENTRYPOINT ["python", "/airbyte/integration_code/main.py"]
