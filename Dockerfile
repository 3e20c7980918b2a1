# The images in which docker and kubernetes work pools run phusa; docs/pools.md says how.
#
#   docker build --target cpu --tag phusa:0.1.0-cpu .     torch for the CPU
#   docker build --target gpu --tag phusa:0.1.0-gpu .     torch for CUDA; the host has the driver
#
# A worker starts `prefect flow-run execute` in it; whatever else it is told to run, it runs: a
# Prefect server, a worker, phusa.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/phusa
COPY pyproject.toml constraints.txt README.md ./
ARG EXTRAS=dask,mlflow,ray,wandb
ARG PREFECT_KUBERNETES=0.8.0

# What phusa needs, without its code, which changes more often and is a layer above. With
# prefect-kubernetes the image can be the worker of a kubernetes pool, too.
FROM packages AS packages-cpu
RUN pip install --constraint constraints.txt --only-binary :all: \
        --extra-index-url https://download.pytorch.org/whl/cpu \
        ".[${EXTRAS}]" prefect-kubernetes==${PREFECT_KUBERNETES}

# torch 2.13.0+cpu is a build for the CPU; 2.13.0, without the suffix, is PyPI's for CUDA.
FROM packages AS packages-gpu
RUN sed 's/+cpu$//' constraints.txt > /tmp/constraints.txt \
    && pip install --constraint /tmp/constraints.txt --only-binary :all: \
        ".[${EXTRAS}]" prefect-kubernetes==${PREFECT_KUBERNETES}

FROM python:${PYTHON}-slim AS runtime
# tini: processes that their parent has left are waited for, and signals reach every program.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 phusa \
    && install --directory --owner phusa /cache
# SIGTERM_BEHAVIOR: without it Prefect leaves the training at once and the run `Running` for ever
# when a container is stopped; with it the checkpoint is saved and the run starts again elsewhere.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR=reschedule \
    PHUSA_CACHE=/cache \
    NUMBA_CACHE_DIR=/cache/numba
WORKDIR /opt/phusa
ENTRYPOINT ["tini", "--"]
CMD ["phusa", "--help"]

FROM runtime AS cpu
COPY --from=packages-cpu /opt/venv /opt/venv
COPY . .
RUN pip install --no-cache-dir --no-deps --editable . \
    && python -m compileall -q flows tasks storage
USER 1000

FROM runtime AS gpu
# What the NVIDIA container toolkit puts into a container that asks for a GPU.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=packages-gpu /opt/venv /opt/venv
COPY . .
RUN pip install --no-cache-dir --no-deps --editable . \
    && python -m compileall -q flows tasks storage
USER 1000
