# tenfold on a processor: `docker build -t tenfold .`, then `docker run --rm -it --privileged tenfold make quickstart`.
# The sandbox for untrusted programs needs namespaces, which a container has with --privileged only.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1

RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git libseccomp2 make nodejs \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tenfold

WORKDIR /home/tenfold/tenfold
RUN chown tenfold:tenfold /home/tenfold/tenfold
USER tenfold

# Where pip finds a CPU build of torch, for a smaller image: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL
COPY --chown=tenfold:tenfold . .
RUN make .venv/.ready

CMD ["make", "help"]
