package observe

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/web"
)

// Build says which program it is.
type Build struct{ Version, Revision string }

// Metrics counts. It has a registry of its own, so that nothing else appears in it.
type Metrics struct {
	registry  *prometheus.Registry
	published *prometheus.HistogramVec
	handled   *prometheus.CounterVec
	tries     *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	letters   *prometheus.CounterVec
	notified  *prometheus.HistogramVec
	requests  *prometheus.HistogramVec
	serving   prometheus.Gauge
	watched   *watched
}

// seconds reach from a handler that does nothing to one that takes its whole time.
var seconds = []float64{.00001, .0001, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// NewMetrics makes metrics that are all zero.
func NewMetrics(b Build) *Metrics {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		published: histogram("sipeat_publish_duration_seconds",
			"Time until an event was written to all in-sync replicas, or was not.", "topic", "outcome"),
		handled: counter("sipeat_events_handled_total", "Events that are handled: done, or rejected into the dead letters.", "topic", "consumer", "outcome"),
		tries:   histogram("sipeat_event_try_duration_seconds", "Time of one try to handle an event.", "topic", "consumer", "outcome"),
		retries: counter("sipeat_event_retries_total", "Tries of an event after its first.", "topic", "consumer"),
		letters: counter("sipeat_dead_letters_total", "Events written to the dead letters.", "topic", "consumer", "class"),
		notified: histogram("sipeat_notify_duration_seconds",
			"Time until a notification was handed over, or was not.", "outcome"),
		requests: histogram("sipeat_http_request_duration_seconds",
			"Time from the head of a request to the end of its answer.", "route", "code"),
		serving: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sipeat_http_requests_in_flight", Help: "Requests that are being answered."}),
		watched: &watched{},
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sipeat_build_info", Help: "Always 1; its labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.published, m.handled, m.tries, m.retries, m.letters, m.notified, m.requests, m.serving, m.watched,
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// Web is a [web.Observer].
func (m *Metrics) Web(ctx context.Context, _ *http.Request) (context.Context, func(web.Answered)) {
	m.serving.Inc()
	return ctx, m.answered
}

func (m *Metrics) answered(a web.Answered) {
	m.serving.Dec()
	if a.Route == "" {
		a.Route = "none"
	}
	m.requests.WithLabelValues(a.Route, strconv.Itoa(a.Status)).Observe(a.Took.Seconds())
}

// Events gives what is to be told of each try of a consumer's events.
func (m *Metrics) Events(topic, group string) func(bus.Report) {
	outcomes := map[bus.Outcome]prometheus.Observer{}
	for _, o := range []bus.Outcome{bus.Done, bus.Rejected, bus.Unavailable, bus.Failed} {
		outcomes[o] = m.tries.WithLabelValues(topic, group, string(o))
	}
	done := m.handled.WithLabelValues(topic, group, string(bus.Done))
	doneTook := outcomes[bus.Done]
	rejected := m.handled.WithLabelValues(topic, group, string(bus.Rejected))
	retries := m.retries.WithLabelValues(topic, group)
	for _, c := range []bus.Class{bus.Undecodable, bus.Refused, bus.Conflicting, bus.Exhausted, bus.Panicked, bus.Expired} {
		m.letters.WithLabelValues(topic, group, string(c)) // so that the first one is an increase
	}
	return func(r bus.Report) {
		switch r.Outcome {
		case bus.Done:
			done.Inc()
		case bus.Rejected:
			rejected.Inc()
			m.letters.WithLabelValues(topic, group, string(r.Class)).Inc()
		}
		if r.DeadLetterOnly() {
			return
		}
		if r.Attempt > 1 {
			retries.Inc()
		}
		if r.Outcome == bus.Done {
			doneTook.Observe(r.Took.Seconds()) // spares the look into the map
			return
		}
		outcomes[r.Outcome].Observe(r.Took.Seconds())
	}
}

// Publisher is next, its writes counted.
func (m *Metrics) Publisher(next bus.Publisher) bus.Publisher { return &countedPublisher{m, next} }

type countedPublisher struct {
	metrics *Metrics
	next    bus.Publisher
}

func (p *countedPublisher) Publish(ctx context.Context, e events.Any) (bus.Position, error) {
	began := time.Now()
	at, err := p.next.Publish(ctx, e)
	p.metrics.published.WithLabelValues(e.Topic(), outcome(err, "written")).Observe(time.Since(began).Seconds())
	return at, err
}

// Notifier is next, what it delivers counted.
func (m *Metrics) Notifier(next notify.Notifier) notify.Notifier { return &countedNotifier{m, next} }

type countedNotifier struct {
	metrics *Metrics
	next    notify.Notifier
}

func (n *countedNotifier) Notify(ctx context.Context, message notify.Message) error {
	began := time.Now()
	err := n.next.Notify(ctx, message)
	n.metrics.notified.WithLabelValues(outcome(err, "sent")).Observe(time.Since(began).Seconds())
	return err
}

// outcome is what an error means, in few words.
func outcome(err error, well string) string {
	if err == nil {
		return well
	}
	switch events.KindOf(err) {
	case events.Unavailable:
		return "unavailable"
	case events.Invalid:
		return "refused"
	}
	return "failed"
}
