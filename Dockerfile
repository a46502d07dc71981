# The environment of setup.sh in an image.
#
#     docker build -t wgan .
#     docker run -v "$PWD/runs:/wgan/runs" wgan make demo
#
#     docker build -t wgan-gpu --build-arg DEVICE=gpu .           needs the NVIDIA container toolkit
#                                               and  --build-arg CUDNN=9  for RTX 30 and newer
#     docker run --gpus all -v "$PWD/runs:/wgan/runs" wgan-gpu .venv/bin/python wgan_training.py --help

FROM debian:12-slim

RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /wgan
COPY . .

ARG DEVICE=cpu
ARG CUDNN=
# While an image is built there is no card, and without a driver CNTK for the GPU can't be imported.
RUN DEVICE=$DEVICE CUDNN=$CUDNN CHECK=$([ "$DEVICE" = gpu ] && echo no) ./setup.sh \
    && rm -rf /var/lib/apt/lists/* /root/.cache .python/root/pkgs
# What `make` would set up again, were another device chosen.
ENV DEVICE=$DEVICE NVIDIA_DRIVER_CAPABILITIES=compute,utility
