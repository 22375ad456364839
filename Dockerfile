# Images of the system: `docker compose build`, or `docker build --target order-service .`
#
# An image has one program and the libraries that it needs: no shell, no package manager, no secret.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG NGINX_IMAGE=nginx:1.28-alpine-slim

# The manifests alone, with a stub for each target: this content changes when dependencies do.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
RUN sh containers/stub-sources.sh

# Dependencies, in a layer of their own.
FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY --from=manifests /src .
ENV CARGO_TARGET_DIR=/target
ARG BUILD="--release --locked --no-default-features \
  --package orders --package products --package users --package docs --package console \
  --package local \
  --features orders/socket,products/socket,users/socket,docs/socket,console/socket"
RUN cargo build ${BUILD}
COPY . .
# Cargo compares times, and the stubs are newer than the sources.
RUN find . -name '*.rs' -exec touch {} + && cargo build ${BUILD}
# What the programs load: the C library, its loader, and the one for unwinding.
RUN sh containers/collect-libraries.sh /target/release /runtime orders products users docs console oms-local

FROM scratch AS program
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Order management" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.licenses="MIT"
COPY --from=build /runtime/ /
USER 65532:65532
STOPSIGNAL SIGTERM

FROM program AS order-service
COPY --from=build /target/release/orders /usr/local/bin/
# A user for each service: a secret belongs to its reader.
USER 65530:65532
ENV LISTEN_ADDRESS=0.0.0.0 LOG_FORMAT=json
EXPOSE 50051
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["/usr/local/bin/orders", "health"]
ENTRYPOINT ["/usr/local/bin/orders"]

FROM program AS product-service
COPY --from=build /target/release/products /usr/local/bin/
USER 65531:65532
ENV LISTEN_ADDRESS=0.0.0.0 LOG_FORMAT=json
EXPOSE 50052
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["/usr/local/bin/products", "health"]
ENTRYPOINT ["/usr/local/bin/products"]

FROM program AS user-service
COPY --from=build /target/release/users /usr/local/bin/
USER 65533:65532
ENV LISTEN_ADDRESS=0.0.0.0 LOG_FORMAT=json
EXPOSE 50053
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["/usr/local/bin/users", "health"]
ENTRYPOINT ["/usr/local/bin/users"]

FROM program AS docs
COPY --from=build /target/release/docs /usr/local/bin/
ENV LISTEN_ADDRESS=0.0.0.0 LOG_FORMAT=json
EXPOSE 50050
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["/usr/local/bin/docs", "health"]
ENTRYPOINT ["/usr/local/bin/docs"]

FROM program AS console
COPY --from=build /target/release/console /usr/local/bin/
USER 65529:65532
ENV LISTEN_ADDRESS=0.0.0.0 LOG_FORMAT=json
EXPOSE 50054
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["/usr/local/bin/console", "health"]
ENTRYPOINT ["/usr/local/bin/console"]

# Commands of `cargo local` for operators: secrets, schema, demo.
FROM program AS tools
COPY --from=build /target/release/oms-local /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/oms-local"]

FROM ${NGINX_IMAGE} AS gateway
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Order management: gateway" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
# A checkout may be closed to other users, such as this one.
COPY --chmod=755 containers/gateway/ /etc/nginx/
USER 101:101
EXPOSE 8080 8443
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 \
  CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8081/"]
ENTRYPOINT ["nginx"]
CMD ["-c", "/etc/nginx/http.conf"]
