# Any image with Python 3.11 or newer and its venv module: scripts/make-base-image makes one from Debian's packages.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements ./requirements
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
    && python3 -m venv /opt/lading \
    && /opt/lading/bin/pip install --require-hashes -r requirements/runtime.txt \
    && /opt/lading/bin/pip install --require-hashes -r requirements/stores.txt
COPY . .
# The wheel, not the checkout: an image holds one of them, never both.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation -w /wheel . \
    && /opt/lading/bin/pip install --no-deps /wheel/*.whl \
    && /opt/lading/bin/python -m pip uninstall --yes --quiet setuptools pip

FROM ${BASE}
RUN groupadd --system --gid 1000 lading \
    && useradd --system --uid 1000 --gid lading --home-dir /var/lib/registry --no-create-home lading \
    && install --directory --owner=lading --group=lading /var/lib/registry
COPY --from=build /opt/lading /opt/lading
COPY deploy/image/config.yml /etc/lading/config.yml
COPY deploy/image/health.py /opt/lading/health.py
# A file that is mounted where Distribution's images look for it is found as well.
RUN mkdir -p /etc/docker && ln -s /etc/lading /etc/docker/registry && ln -s /etc/lading /etc/distribution
ENV PATH=/opt/lading/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=registry_project.settings \
    REGISTRY_CONFIGURATION_PATH=/etc/lading/config.yml
USER 1000:1000
WORKDIR /var/lib/registry
VOLUME /var/lib/registry
EXPOSE 5000
HEALTHCHECK --interval=20s --timeout=10s --start-period=60s --retries=3 CMD ["python", "/opt/lading/health.py"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["lading"]
CMD ["serve"]
