# For CPUs:         docker build -t irploc .
# For NVIDIA GPUs:  docker build -t irploc:gpu --build-arg TORCH_INDEX= --build-arg ONNXRUNTIME=onnxruntime-gpu .
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG ONNXRUNTIME=onnxruntime
ENV PATH=/opt/irploc/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/irploc
WORKDIR /build
COPY constraints.txt ./
# Torch alone comes from its own index, what it needs from pip's default.
RUN pip install -c constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision \
    && pip install -c constraints.txt torch torchvision onnx "$ONNXRUNTIME"
COPY pyproject.toml README.md LICENSE ./
COPY irploc irploc
RUN pip install -c constraints.txt '.[service,structure]'

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 1000 irploc
COPY --from=build /opt/irploc /opt/irploc
ENV PATH=/opt/irploc/bin:$PATH IRPLOC_WORKSPACE=/workspace PYTHONUNBUFFERED=1
USER 1000
WORKDIR /workspace
EXPOSE 8000
HEALTHCHECK --start-period=5m CMD ["python3", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
ENTRYPOINT ["irploc"]
CMD ["serve", "--host", "0.0.0.0"]
