package observe

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/web"
)

// The spans are named and described as OpenTelemetry's semantic conventions say, version 1.43:
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/ and
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ (and kafka beside it). What they recommend and would hold
// something of what people said is left out: url.path, url.query, user_agent.original, messaging.kafka.message.key, the text of
// errors.

// methods are the values that http.request.method may have.
var methods = map[string]attribute.KeyValue{
	"GET": semconv.HTTPRequestMethodGet, "HEAD": semconv.HTTPRequestMethodHead, "POST": semconv.HTTPRequestMethodPost,
	"PUT": semconv.HTTPRequestMethodPut, "DELETE": semconv.HTTPRequestMethodDelete, "OPTIONS": semconv.HTTPRequestMethodOptions,
	"PATCH": semconv.HTTPRequestMethodPatch, "CONNECT": semconv.HTTPRequestMethodConnect, "TRACE": semconv.HTTPRequestMethodTrace,
}

// unseen is what machines ask every few seconds: its spans would bury all others.
var unseen = []string{"/healthz", "/readyz", "/metrics"}

// Web is a [web.Observer]. Health checks and metrics have no spans.
func (t *Tracing) Web(ctx context.Context, r *http.Request) (context.Context, func(web.Answered)) {
	if t == nil || slices.Contains(unseen, r.URL.Path) {
		return ctx, nil
	}
	method, known := methods[r.Method]
	if !known {
		method = semconv.HTTPRequestMethodOther
	}
	ctx, span := t.start(ctx, "HTTP", oteltrace.SpanKindServer, method)
	return ctx, func(a web.Answered) {
		if a.Route != "" {
			span.SetName(a.Route)
			span.SetAttributes(semconv.HTTPRoute(a.Route))
		}
		span.SetAttributes(semconv.HTTPResponseStatusCode(a.Status))
		if a.EventID != "" {
			span.SetAttributes(attribute.String("sipeat.event_id", events.LogID(a.EventID)))
		}
		if a.Status >= http.StatusInternalServerError { // what a caller did wrong is no error of this span
			fail(span, strconv.Itoa(a.Status))
		}
		span.End()
	}
}

func fail(span oteltrace.Span, kind string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, kind)
}

// end ends a span. Deferred directly, the span's own End would record the value of a panic, which may hold payload.
func end(span oteltrace.Span, failure *string) {
	if *failure != "" {
		fail(span, *failure)
	}
	span.End()
}

// Publisher is next, with a span for each event. The event's record carries that span's traceparent.
func (t *Tracing) Publisher(next bus.Publisher) bus.Publisher {
	if t == nil {
		return next
	}
	return &tracedPublisher{t, next}
}

type tracedPublisher struct {
	tracing *Tracing
	next    bus.Publisher
}

func (p *tracedPublisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	ctx, span := p.tracing.start(ctx, "send "+e.Topic(), oteltrace.SpanKindProducer,
		append(sending(e.Topic()), semconv.MessagingMessageID(events.LogID(e.EventID())))...)
	failure := "panic"
	defer end(span, &failure)
	at, err := p.next.Publish(ctx, e)
	if failure = outcome(err, ""); err == nil {
		span.SetAttributes(where(at)...)
	}
	return at, err
}

func sending(topic string) []attribute.KeyValue {
	return []attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"),
		semconv.MessagingDestinationName(topic)}
}

func where(at bus.Position) []attribute.KeyValue {
	return []attribute.KeyValue{semconv.MessagingDestinationPartitionID(strconv.Itoa(int(at.Partition))), semconv.MessagingKafkaOffset(int(at.Offset))}
}

// DeadLetters is next, with a span for each letter. The letter keeps the headers of its record, traceparent among them.
func (t *Tracing) DeadLetters(next bus.DeadLetters) bus.DeadLetters {
	if t == nil {
		return next
	}
	return &tracedDeadLetters{t, next}
}

type tracedDeadLetters struct {
	tracing *Tracing
	next    bus.DeadLetters
}

func (w *tracedDeadLetters) Write(ctx context.Context, l bus.DeadLetter) error {
	topic := bus.DeadLetterTopic(l.Record.Topic)
	ctx, span := w.tracing.start(ctx, "send "+topic, oteltrace.SpanKindProducer,
		append(sending(topic), attribute.String("sipeat.dead_letter.class", string(l.Class)))...)
	failure := "panic"
	defer end(span, &failure)
	err := w.next.Write(ctx, l)
	failure = outcome(err, "")
	return err
}

// Notifier is next, with a span for each message.
func (t *Tracing) Notifier(next notify.Notifier) notify.Notifier {
	if t == nil {
		return next
	}
	return &tracedNotifier{t, next}
}

type tracedNotifier struct {
	tracing *Tracing
	next    notify.Notifier
}

func (n *tracedNotifier) Notify(ctx context.Context, m notify.Message) error {
	ctx, span := n.tracing.start(ctx, "notify", oteltrace.SpanKindClient, attribute.String("sipeat.event_id", events.LogID(m.EventID)))
	failure := "panic"
	defer end(span, &failure)
	err := n.next.Notify(ctx, m)
	failure = outcome(err, "")
	return err
}

// Events gives what follows a consumer's events: a span from an event's first try to its last, under that of whoever
// published it and linked to it. What is tried again for hours has a span of hours.
func (t *Tracing) Events() bus.Tracer {
	if t == nil {
		return nil
	}
	return tracer{t}
}

type tracer struct{ tracing *Tracing }

func (t tracer) Begin(ctx context.Context, group, eventID string, r *bus.Record) (context.Context, bus.Trace) {
	attributes := [...]attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(r.Topic), semconv.MessagingConsumerGroupName(group), semconv.MessagingMessageID(eventID),
		semconv.MessagingDestinationPartitionID(strconv.Itoa(int(r.Partition))), semconv.MessagingKafkaOffset(int(r.Offset))}
	ctx, span := t.tracing.start(ctx, "process "+r.Topic, oteltrace.SpanKindConsumer, attributes[:]...)
	return ctx, process{span}
}

type process struct{ span oteltrace.Span }

func (p process) Tried(r bus.Report) {
	switch r.Outcome {
	case bus.Done:
		p.span.End()
	case bus.Rejected:
		fail(p.span, string(r.Class))
		p.span.End()
	default:
		p.span.AddEvent("try", oteltrace.WithAttributes(
			attribute.Int("sipeat.attempt", r.Attempt), attribute.String("sipeat.outcome", string(r.Outcome))))
	}
}

func (p process) Returned() {
	fail(p.span, "given back")
	p.span.End()
}
