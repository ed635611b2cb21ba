package observe

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/sipeat/sipeat/shared/web"
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
	exporter := strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER"))
	if exporter == "" || exporter == "none" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	// The exporters go on without a setting that they cannot use, and log it with the secrets in it.
	faulty := false
	otel.SetLogger(funcr.New(func(string, string) { faulty = true }, funcr.Options{}))
	out, err := autoexport.NewSpanExporter(ctx)
	otel.SetLogger(logr.Discard())
	if err != nil {
		return nil, errors.New("OTEL_TRACES_EXPORTER: must be otlp, console or none, with valid OTEL_EXPORTER_OTLP_ settings")
	}
	if faulty {
		err = errors.New("OTEL_EXPORTER_OTLP_HEADERS, _ENDPOINT, _TIMEOUT or _CERTIFICATE cannot be used; for example" +
			" OTEL_EXPORTER_OTLP_HEADERS=api-key=KEY and OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318")
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

var w3c propagation.TraceContext

// start begins a span under that of ctx, which is one of ours or came with the request or record, and makes it the parent of
// everything that the context causes.
func (t *Tracing) start(ctx context.Context, name string, kind oteltrace.SpanKind, attributes ...attribute.KeyValue) (
	context.Context, oteltrace.Span,
) {
	options := []oteltrace.SpanStartOption{oteltrace.WithSpanKind(kind), oteltrace.WithAttributes(attributes...)}
	parent, ok := trace.From(ctx)
	if ok && !oteltrace.SpanContextFromContext(ctx).IsValid() {
		ctx = w3c.Extract(ctx, propagation.MapCarrier{trace.Header: string(parent)})
		if kind == oteltrace.SpanKindConsumer {
			options = append(options, oteltrace.WithLinks(oteltrace.LinkFromContext(ctx)))
		}
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return trace.With(ctx, trace.Parent(carrier.Get(trace.Header))), span
}

// Spans have the names and attributes of OpenTelemetry's semantic conventions, version 1.43:
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ (and kafka beside it). Recommended attributes that hold
// personal data are left out: url.path, url.query, user_agent.original, messaging.kafka.message.key, texts of errors.

// polled paths have no spans: those of health checks would bury all others.
var polled = []string{"/healthz", "/readyz", "/metrics"}

// Web is a [web.Observer].
func (t *Tracing) Web(ctx context.Context, r *http.Request) (context.Context, func(web.Answered)) {
	if t == nil || slices.Contains(polled, r.URL.Path) {
		return ctx, nil
	}
	ctx, span := t.start(ctx, "HTTP", oteltrace.SpanKindServer)
	return ctx, func(a web.Answered) {
		if a.Route != "" { // its method is a known one, not any text of the caller
			span.SetName(a.Route)
			span.SetAttributes(semconv.HTTPRoute(a.Route), semconv.HTTPRequestMethodKey.String(r.Method))
		}
		span.SetAttributes(semconv.HTTPResponseStatusCode(a.Status))
		if a.EventID != "" {
			span.SetAttributes(attribute.String("sipeat.event_id", events.LogID(a.EventID)))
		}
		failure := ""
		if a.Status >= http.StatusInternalServerError { // a caller's fault is no error of this span
			failure = strconv.Itoa(a.Status)
		}
		end(span, failure)
	}
}

// end ends a span; "" is no failure. It is not deferred directly: the span's own End would then record the value of a panic,
// which may hold payload.
func end(span oteltrace.Span, failure string) {
	if failure != "" {
		span.SetAttributes(semconv.ErrorTypeKey.String(failure))
		span.SetStatus(codes.Error, failure)
	}
	span.End()
}

// within runs do in a span. Without tracing, it is one that records nothing.
func (t *Tracing) within(ctx context.Context, name string, kind oteltrace.SpanKind,
	do func(context.Context, oteltrace.Span) error, attributes ...attribute.KeyValue) error {
	if t == nil {
		return do(ctx, oteltrace.SpanFromContext(ctx))
	}
	ctx, span := t.start(ctx, name, kind, attributes...)
	failure := "panic"
	defer func() { end(span, failure) }()
	err := do(ctx, span)
	failure = outcome(err, "")
	return err
}

func position(partition int32, offset int64) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingDestinationPartitionID(strconv.Itoa(int(partition))), semconv.MessagingKafkaOffset(int(offset)),
	}
}

// Events traces a consumer's events: a span lasts from an event's first try to its last, hours if need be. Its parent and link
// is the span of the publisher.
func (t *Tracing) Events() bus.Tracer {
	if t == nil {
		return nil
	}
	return t.begin
}

func (t *Tracing) begin(ctx context.Context, group, eventID string, r *bus.Record) (context.Context, func(bus.Report)) {
	attributes := append(position(r.Partition, r.Offset), semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess,
		semconv.MessagingOperationName("process"), semconv.MessagingDestinationName(r.Topic),
		semconv.MessagingConsumerGroupName(group), semconv.MessagingMessageID(events.LogID(eventID)))
	ctx, span := t.start(ctx, "process "+r.Topic, oteltrace.SpanKindConsumer, attributes...)
	return ctx, func(r bus.Report) {
		switch r.Outcome {
		case "":
			end(span, "returned")
		case bus.Done:
			end(span, "")
		case bus.Rejected:
			end(span, string(r.Class))
		default:
			span.AddEvent("try", oteltrace.WithAttributes(
				attribute.Int("sipeat.attempt", r.Attempt), attribute.String("sipeat.outcome", string(r.Outcome))))
		}
	}
}
