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

// Watch adds gauges of a consumer and its partitions, read at each scrape.
func (m *Metrics) Watch(topic, group string, w *kafka.Watch) {
	m.consumers.mu.Lock()
	defer m.consumers.mu.Unlock()
	m.consumers.all = append(m.consumers.all, consumer{topic, group, w})
}

type consumer struct {
	topic, group string
	watch        *kafka.Watch
}

// consumers is a collector.
type consumers struct {
	mu  sync.Mutex
	all []consumer
}

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
	inHand = description("sipeat_events_in_hand", "Events from the first unhandled one to the last fetched.", "partition")
	age    = description("sipeat_oldest_unhandled_event_age_seconds",
		"Age of the oldest fetched event that is not handled yet; 0 = none.", "partition")
	lag = description("sipeat_consumer_lag_events",
		"Records of the partition that are not handled yet, as reported by the brokers; 0 = no record is left to read.", "partition")
)

func (c *consumers) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{joined, stalled, unreadable, lost, inHand, age, lag} {
		to <- d
	}
}

func (c *consumers) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	consumers := c.all
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, one := range consumers {
		all.Go(func() { one.collect(to) })
	}
	all.Wait()
}

func (c consumer) collect(to chan<- prometheus.Metric) {
	status, ok := c.watch.Status()
	if !ok {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, more ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{c.topic, c.group}, more...)...)
	}
	gauge(joined, oneIf(status.Joined))
	gauge(stalled, oneIf(status.Stalled))
	gauge(unreadable, float64(len(status.Unreadable)))
	to <- prometheus.MustNewConstMetric(lost, prometheus.CounterValue, float64(status.LostOffsets), c.topic, c.group)
	for _, p := range c.watch.Partitions() {
		partition, old := strconv.Itoa(int(p.Partition)), 0.0
		if !p.Oldest.IsZero() {
			old = max(time.Since(p.Oldest).Seconds(), 0)
		}
		gauge(inHand, float64(p.Buffered), partition)
		gauge(age, old, partition)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	behind, err := c.watch.Lag(ctx)
	if err != nil {
		return // the other metrics are still true
	}
	for partition, events := range behind {
		gauge(lag, float64(events), strconv.Itoa(int(partition)))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
