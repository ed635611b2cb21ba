package observe

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
)

// lagTimeout is how long a scrape waits for the brokers; a lag that is not known in time is left out.
const lagTimeout = 2 * time.Second

// Watch adds gauges of a consumer's partitions, read at each scrape.
func (m *Metrics) Watch(topic, group string, w *kafka.Watch) {
	m.watched.mu.Lock()
	defer m.watched.mu.Unlock()
	m.watched.consumers = append(m.watched.consumers, watchedConsumer{topic, group, w})
}

type watchedConsumer struct {
	topic, group string
	watch        *kafka.Watch
}

// watched is a collector.
type watched struct {
	mu        sync.Mutex
	consumers []watchedConsumer
}

func perPartition(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"topic", "consumer", "partition"}, nil)
}

func perConsumer(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"topic", "consumer"}, nil)
}

var (
	inHand  = perPartition("sipeat_events_in_hand", "Events from the first unhandled one to the last fetched.")
	bytes   = perPartition("sipeat_events_in_hand_bytes", "Size of the events in hand.")
	running = perPartition("sipeat_handlers_running", "Handlers running.")
	paused  = perPartition("sipeat_partition_paused", "1 while the buffer is full and nothing more is fetched.")
	age     = perPartition("sipeat_oldest_unhandled_event_age_seconds",
		"Age of the oldest event in hand that is not handled; 0 = none.")
	lag = perPartition("sipeat_consumer_lag_events",
		"Records of the partition that are not handled yet, as reported by the brokers; 0 = no record is left to read.")
	joined  = perConsumer("sipeat_consumer_joined", "1 while the consumer is a member of its group.")
	stalled = perConsumer("sipeat_consumer_stalled", "1 while events fail in a row for an unknown reason, so that none is rejected.")

	unreadable = perConsumer("sipeat_partitions_unreadable", "Partitions that cannot be read.")
	lost       = perConsumer("sipeat_lost_offsets_total",
		"Offsets that the log lost before this consumer handled them, as far as it knows.")
)

func (w *watched) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{inHand, bytes, running, paused, age, lag, joined, stalled, unreadable, lost} {
		to <- d
	}
}

func (w *watched) Collect(to chan<- prometheus.Metric) {
	w.mu.Lock()
	consumers := w.consumers
	w.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range consumers {
		all.Go(func() { c.collect(to) })
	}
	all.Wait()
}

func (c watchedConsumer) collect(to chan<- prometheus.Metric) {
	status, ok := c.watch.Status()
	if !ok {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{c.topic, c.group}, labels...)...)
	}
	gauge(joined, oneIf(status.Joined))
	gauge(stalled, oneIf(status.Stalled))
	gauge(unreadable, float64(len(status.Unreadable)))
	to <- prometheus.MustNewConstMetric(lost, prometheus.CounterValue, float64(status.LostOffsets), c.topic, c.group)
	for _, p := range c.watch.Partitions() {
		n := strconv.Itoa(int(p.Partition))
		gauge(inHand, float64(p.Buffered), n)
		gauge(bytes, float64(p.Bytes), n)
		gauge(running, float64(p.Running), n)
		gauge(paused, oneIf(p.Paused), n)
		old := 0.0
		if !p.Oldest.IsZero() {
			old = max(time.Since(p.Oldest).Seconds(), 0)
		}
		gauge(age, old, n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	behind, err := c.watch.Lag(ctx)
	if err != nil {
		return // the other metrics are still true
	}
	for n, events := range behind {
		gauge(lag, float64(events), strconv.Itoa(int(n)))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
