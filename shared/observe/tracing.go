package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/sipeat/sipeat/shared/trace"
)

// Tracing makes spans. nil is tracing that is off.
type Tracing struct {
	tracer   oteltrace.Tracer
	provider *sdk.TracerProvider
}

// NewTracing configures tracing by OpenTelemetry's environment variables
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), except that it is off when
// OTEL_TRACES_EXPORTER is not set. Errors of the exporter are logged.
func NewTracing(ctx context.Context, getenv func(string) string, version string, logger *slog.Logger) (*Tracing, error) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	if exporter == "" || exporter == "none" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	var faults exporterFaults
	otel.SetLogger(logr.New(&faults))
	out, err := autoexport.NewSpanExporter(ctx)
	otel.SetLogger(logr.Discard())
	if err != nil {
		return nil, errors.New("OTEL_TRACES_EXPORTER: must be otlp, console or none, with valid OTEL_EXPORTER_OTLP_ settings")
	}
	if len(faults) > 0 {
		err = fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS, _ENDPOINT, _TIMEOUT or _CERTIFICATE: OpenTelemetry cannot %s; for example "+
			"OTEL_EXPORTER_OTLP_HEADERS=api-key=KEY and OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318", strings.Join(faults, ", nor "))
		return nil, errors.Join(err, out.Shutdown(ctx))
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("sipeat"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv()) // the last one wins
	if err != nil {
		return nil, errors.Join(errors.New("OTEL_RESOURCE_ATTRIBUTES: must be key=value pairs, separated by commas"), out.Shutdown(ctx))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("traces cannot be exported", "error", err) }))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(out), sdk.WithResource(res))
	return &Tracing{provider.Tracer("github.com/sipeat/sipeat"), provider}, nil
}

// Close exports the remaining spans, as long as ctx allows.
func (t *Tracing) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// start begins a span under that of ctx, which is one of ours or came with the request or record, and makes it the parent of
// everything that the context causes.
func (t *Tracing) start(ctx context.Context, name string, kind oteltrace.SpanKind, attributes ...attribute.KeyValue) (
	context.Context, oteltrace.Span,
) {
	options := []oteltrace.SpanStartOption{oteltrace.WithSpanKind(kind), oteltrace.WithAttributes(attributes...)}
	if !oteltrace.SpanContextFromContext(ctx).IsValid() {
		if parent, ok := trace.From(ctx); ok {
			remote := spanContext(parent)
			ctx = oteltrace.ContextWithRemoteSpanContext(ctx, remote)
			if kind == oteltrace.SpanKindConsumer {
				options = append(options, oteltrace.WithLinks(oteltrace.Link{SpanContext: remote}))
			}
		}
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return trace.With(ctx, parentOf(span.SpanContext())), span
}

func spanContext(p trace.Parent) oteltrace.SpanContext {
	config := oteltrace.SpanContextConfig{Remote: true}
	config.TraceID, _ = oteltrace.TraceIDFromHex(p.TraceID()) // a Parent is valid
	config.SpanID, _ = oteltrace.SpanIDFromHex(p.SpanID())
	if p.Sampled() {
		config.TraceFlags = oteltrace.FlagsSampled
	}
	return oteltrace.NewSpanContext(config)
}

func parentOf(c oteltrace.SpanContext) trace.Parent {
	id, span := c.TraceID(), c.SpanID()
	flags := "-00"
	if c.IsSampled() {
		flags = "-01"
	}
	return trace.Parent("00-" + id.String() + "-" + span.String() + flags)
}
