# The whole project in a container; see docs/distributed.md.
ARG CUDA=12.8.1
FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04

# Python is the distribution's: its security updates come with the base image's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# Whoever the container runs as (docker run --user) may write results and caches.
RUN useradd --create-home --uid 10001 dusa \
    && mkdir --parents /data /weights /runs /cache \
    && chmod 1777 /home/dusa /runs /cache
ENV HOME=/home/dusa \
    USER=dusa \
    HF_HOME=/cache/huggingface \
    TORCH_HOME=/cache/torch \
    XDG_CACHE_HOME=/cache \
    MPLCONFIGDIR=/cache/matplotlib \
    CLEARML_CACHE_DIR=/cache/clearml \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:$PATH

# What the project needs comes first and apart: changed code does not install PyTorch again.
WORKDIR /app
COPY setup.cfg pyproject.toml LICENSE ./
# hadolint ignore=DL3013
RUN python3 -m venv /opt/venv \
    && mkdir dusa_ignite \
    && touch README.md dusa_ignite/__init__.py \
    && pip install --no-cache-dir '.[demo,tensorboard]' \
    && rm --recursive --force build

COPY . .
RUN pip install --no-cache-dir --no-deps --editable . \
    && ln --symbolic /runs runs

USER 10001
VOLUME ["/data", "/weights", "/runs", "/cache"]
# The arguments of `dusa-ignite adapt`; torchrun and the other commands: docker run --entrypoint.
ENTRYPOINT ["python", "launch/main.py"]
CMD ["--help"]
