package daemon

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracing makes the spans of issuance and push. It exports over OTLP when
// OpenTelemetry's own variable says where to, and does nothing otherwise.
type tracing struct {
	trace.TracerProvider
	stop func() error
}

func newTracing(ctx context.Context) (*tracing, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return &tracing{TracerProvider: noop.NewTracerProvider(), stop: func() error { return nil }}, nil
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting the trace exporter: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	last := context.WithoutCancel(ctx)
	return &tracing{TracerProvider: provider, stop: func() error {
		ctx, cancel := context.WithTimeout(last, 5*time.Second)
		defer cancel()
		return provider.Shutdown(ctx)
	}}, nil
}
