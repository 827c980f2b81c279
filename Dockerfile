# campaignd and campaignctl as static programs for an ordinary user. Both base
# images are arguments: any with Go 1.26 builds, and the result runs on anything,
# an empty image included.
ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=scratch

FROM ${GO_IMAGE} AS build
# Where modules come from, for builds behind a proxy; empty means Go's defaults.
ARG GOPROXY
ARG VERSION=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# An empty base image has no time zones (so they are linked in), no certificates,
# no /tmp, and no home for the daemon's witness.
RUN CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags "-s -w -X main.buildVersion=${VERSION}" -o /image/usr/bin/ ./cmd/... \
 && mkdir -p /image/etc/ssl/certs /image/tmp /home/campaignd \
 && chmod 1777 /image/tmp \
 && if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; fi

FROM ${BASE_IMAGE}
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /home/campaignd/ /var/lib/campaignd/
ENV PATH=/usr/bin CAMPAIGN_HOME=/var/lib/campaignd
USER 65532:65532
VOLUME /var/lib/campaignd
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["/usr/bin/campaignd", "healthcheck"]
ENTRYPOINT ["/usr/bin/campaignd"]
CMD ["run"]
