package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/time/rate"
)

const (
	outageAfter  = 2 * time.Second // one broker of several may be away; others then answer
	outageRepeat = 5 * time.Minute
	repeatAfter  = time.Minute // is how soon the same warning is logged again
)

// outage logs that no broker of a cluster can be used, and when one can again. It is a hook of all clients of the cluster.
type outage struct {
	brokers string
	logger  *slog.Logger

	mu     sync.Mutex
	since  time.Time // zero = the last exchange with a broker succeeded
	logged time.Time // the last time in this outage; zero = not yet
}

var outages sync.Map // *outage by brokers and logger: the clients of a process all notice the same

func newOutage(brokers []string, logger *slog.Logger) *outage {
	o := &outage{brokers: strings.Join(brokers, ","), logger: logger}
	shared, _ := outages.LoadOrStore([2]any{o.brokers, logger}, o)
	return shared.(*outage)
}

func (o *outage) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil { // a connection alone is no answer
		o.note(err)
	}
}

func (o *outage) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	switch kmsg.Key(key) {
	case kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate:
		if e2e.Err() == nil {
			return // the login may still fail: OnBrokerConnect has its outcome
		}
	}
	o.note(e2e.Err())
}

// note takes the outcome of an exchange with a broker. Clients that wait for one try again every few seconds.
func (o *outage) note(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, net.ErrClosed) {
		return // our own doing
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil:
		if !o.logged.IsZero() {
			o.logger.Info("Kafka is back", "brokers", o.brokers, "after", now.Sub(o.since).Round(time.Millisecond))
		}
		o.since, o.logged = time.Time{}, time.Time{}
	case o.since.IsZero():
		o.since = now
	case now.Sub(o.since) > outageAfter && now.Sub(o.logged) > outageRepeat:
		o.logger.Error("Kafka is away: no broker can be used; retrying", "brokers", o.brokers,
			"since", o.since.UTC().Format(time.RFC3339), "error", err)
		o.logged = now
	}
}

// away reports whether the last exchange with a broker failed.
func (o *outage) away() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// warn logs what recurs with each retry: once in a while, and not while no broker answers.
func (m *Member) warn(message string, details ...any) {
	if !m.outage.away() {
		sometimes, _ := m.warned.LoadOrStore(message, &rate.Sometimes{Interval: repeatAfter})
		sometimes.(*rate.Sometimes).Do(func() {
			m.Logger.Warn(message, append(details, "topic", m.topic, "group", m.group)...)
		})
	}
}
