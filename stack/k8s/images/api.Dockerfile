# The Go API: docker build -f api.Dockerfile -t kerp/api:$(git rev-parse --short=8 HEAD)-$(date -u +%Y%m%d%H%M%S) .
FROM golang:1.25-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/kerp-api ./cmd/api

FROM alpine:3.22
RUN apk add --no-cache ca-certificates tzdata && adduser -D -H -u 1001 kerp
COPY --from=build /out/kerp-api /usr/local/bin/kerp-api
USER 1001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s --retries=3 \
  CMD wget -q -O /dev/null http://127.0.0.1:8080/health || exit 1
ENTRYPOINT ["/usr/local/bin/kerp-api"]
