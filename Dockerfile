# mxconv where there is no suitable Python, from a clone:
#
#     docker build --tag mxconv .
#     docker run --rm mxconv
#
# The first installs everything, the second is `make book` and needs no network. Another command
# goes behind it:  docker run --rm mxconv make test ARGS=tests/test_reference.py
# With  --volume "$PWD/output:/mxconv/examples/output"  the figures and the page stay in output/.

# MXNet's package for arm64 wants Arm's own libraries, which are in neither it nor Debian: so on an
# arm64 machine, an Apple for instance, Docker is to emulate x86-64.
FROM --platform=linux/amd64 debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libquadmath0 make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /mxconv
COPY . .
RUN make installed-examples
CMD ["make", "book"]
