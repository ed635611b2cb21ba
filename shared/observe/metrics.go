package observe

import (
	"cmp"
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// Metrics has its own registry, so that no other metrics appear in it.
type Metrics struct {
	registry                             *prometheus.Registry
	published, tries, notified, requests *prometheus.HistogramVec
	handled, retries, deadLetters        *prometheus.CounterVec
	serving                              prometheus.Gauge
}

// seconds are the histograms' buckets, from a handler that does nothing to one that times out.
var seconds = []float64{.00001, .0001, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// NewMetrics returns metrics that are all zero, of this version of the program.
func NewMetrics(version string) *Metrics {
	registry := prometheus.NewRegistry()
	auto := promauto.With(registry)
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return auto.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	auto.NewGauge(prometheus.GaugeOpts{
		Name: "sipeat_build_info", Help: "Always 1; its labels identify the program.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}).Set(1)
	m := &Metrics{
		registry: registry,
		published: histogram("sipeat_publish_duration_seconds",
			"Time until an event was written to all in-sync replicas or failed.", "topic", "outcome"),
		handled: counter("sipeat_events_handled_total",
			"Events handled: done, or rejected into the dead letters.", "topic", "consumer", "outcome"),
		tries: histogram("sipeat_event_try_duration_seconds",
			"Time of one try to handle an event.", "topic", "consumer", "outcome"),
		retries:     counter("sipeat_event_retries_total", "Tries of an event after its first.", "topic", "consumer"),
		deadLetters: counter("sipeat_dead_letters_total", "Events written to the dead letters.", "topic", "consumer", "class"),
		notified:    histogram("sipeat_notify_duration_seconds", "Time until a notification was accepted or failed.", "outcome"),
		requests: histogram("sipeat_http_request_duration_seconds",
			"Time from the head of a request to the end of its response.", "route", "code"),
		serving: auto.NewGauge(prometheus.GaugeOpts{Name: "sipeat_http_requests_in_flight", Help: "Requests in flight."}),
	}
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// Web is a [web.Observer].
func (m *Metrics) Web(ctx context.Context, _ *http.Request) (context.Context, func(web.Answered)) {
	m.serving.Inc()
	return ctx, func(a web.Answered) {
		m.serving.Dec()
		m.requests.WithLabelValues(cmp.Or(a.Route, "none"), strconv.Itoa(a.Status)).Observe(a.Took.Seconds())
	}
}

// Events returns the [bus.Options.Report] of a consumer.
func (m *Metrics) Events(topic, group string) func(bus.Report) {
	for _, c := range bus.Classes {
		m.deadLetters.WithLabelValues(topic, group, string(c)) // so that the first one is an increase
	}
	return func(r bus.Report) {
		switch r.Outcome {
		case bus.Rejected:
			m.deadLetters.WithLabelValues(topic, group, string(r.Class)).Inc()
			fallthrough
		case bus.Done:
			m.handled.WithLabelValues(topic, group, string(r.Outcome)).Inc()
		}
		if r.DeadLetterOnly() {
			return
		}
		if r.Attempt > 1 {
			m.retries.WithLabelValues(topic, group).Inc()
		}
		m.tries.WithLabelValues(topic, group, string(r.Outcome)).Observe(r.Took.Seconds())
	}
}

// outcome is an error's kind as a label; success is the label of no error.
func outcome(err error, success string) string {
	if err == nil {
		return success
	}
	switch events.KindOf(err) {
	case events.Unavailable:
		return "unavailable"
	case events.Invalid:
		return "refused"
	}
	return "failed"
}

// Watch adds gauges of a consumer and its partitions, read at each scrape.
func (m *Metrics) Watch(member *kafka.Member) { m.registry.MustRegister(consumer{member}) }

// consumer collects the metrics of a consumer.
type consumer struct{ *kafka.Member }

// Describe describes nothing: which metrics there are depends on the partitions.
func (c consumer) Describe(chan<- *prometheus.Desc) {}

func description(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{"topic", "consumer"}, more...), nil)
}

var (
	joined  = description("sipeat_consumer_joined", "1 while the consumer is a member of its group.")
	stalled = description("sipeat_consumer_stalled",
		"1 while events fail in a row for an unknown reason, so that none is rejected.")
	unreadable = description("sipeat_partitions_unreadable", "Partitions that cannot be read.")
	lost       = description("sipeat_lost_offsets_total",
		"Offsets that the log lost before this consumer handled them, as far as it knows.")
	lag = description("sipeat_consumer_lag_events",
		"Records of the partition that are not handled yet, as reported by the brokers; 0 = no record is left to read.", "partition")
)

// Collect implements [prometheus.Collector].
func (c consumer) Collect(to chan<- prometheus.Metric) {
	status := c.Status()
	gauge := func(d *prometheus.Desc, value float64, more ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{status.Topic, status.Group}, more...)...)
	}
	oneIf := map[bool]float64{true: 1}
	gauge(joined, oneIf[status.Joined])
	gauge(stalled, oneIf[status.Stalled])
	gauge(unreadable, float64(len(status.Unreadable)))
	offsets := 0.0
	for _, l := range status.Lost {
		offsets += float64(l.To - l.From)
	}
	to <- prometheus.MustNewConstMetric(lost, prometheus.CounterValue, offsets, status.Topic, status.Group)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // a scrape must not wait for long
	defer cancel()
	behind, err := c.Lag(ctx)
	if err != nil {
		return // the other metrics are true without it
	}
	for partition, events := range behind {
		gauge(lag, float64(events), strconv.Itoa(int(partition)))
	}
}
