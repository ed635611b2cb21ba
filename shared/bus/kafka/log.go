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
)

const (
	outageAfter  = 2 * time.Second // one broker of several may be away; others then answer
	outageRepeat = 5 * time.Minute
)

// outage logs that no broker of a cluster can be used, and when one can again. It is a hook of all clients of the cluster.
type outage struct {
	brokers string
	logger  *slog.Logger

	mu     sync.Mutex
	since  time.Time // zero = the last exchange with a broker succeeded
	cause  error
	timer  *time.Timer
	logged bool
}

type outageOf struct {
	brokers string
	logger  *slog.Logger
}

var outages sync.Map // *outage by outageOf: the clients of a process all notice the same

func newOutage(brokers []string, logger *slog.Logger) *outage {
	of := outageOf{strings.Join(brokers, ","), logger}
	o, _ := outages.LoadOrStore(of, &outage{brokers: of.brokers, logger: logger})
	return o.(*outage)
}

var (
	_ kgo.HookBrokerConnect = (*outage)(nil)
	_ kgo.HookBrokerE2E     = (*outage)(nil)
)

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

func (o *outage) note(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, net.ErrClosed) {
		return // our own doing
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cause = err
	switch {
	case err != nil && o.since.IsZero():
		o.since = time.Now()
		o.timer = time.AfterFunc(outageAfter, o.report)
	case err == nil && !o.since.IsZero():
		o.timer.Stop()
		if o.logged {
			o.logger.Info("Kafka is back", "brokers", o.brokers, "after", time.Since(o.since).Round(time.Millisecond))
		}
		o.since, o.logged = time.Time{}, false
	}
}

func (o *outage) report() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.logger.Error("Kafka is away: no broker can be used; retrying", "brokers", o.brokers,
		"since", o.since.UTC().Format(time.RFC3339), "error", o.cause)
	o.logged = true
	o.timer = time.AfterFunc(outageRepeat, o.report)
}

// away reports whether the last exchange with a broker failed.
func (o *outage) away() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}

// clientLog logs the clients' lines at level debug: they are repeated with each retry, and what matters of them is returned as an
// error, or logged by [outage] and [consumption].
type clientLog struct{ *slog.Logger }

func (l clientLog) Level() kgo.LogLevel {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelNone
}

func (l clientLog) Log(_ kgo.LogLevel, message string, details ...any) {
	l.Debug("kafka client: "+message, details...)
}

// repeatAfter is how soon the same warning is logged again.
const repeatAfter = time.Minute

// warn logs what recurs with each retry: once in a while, and not while no broker answers.
func (c *consumption) warn(message string, details ...any) {
	now, due := time.Now(), false
	c.set(func() {
		last, logged := c.warned[message]
		if due = !c.outage.away() && (!logged || now.Sub(last) > repeatAfter); due {
			c.warned[message] = now
		}
	})
	if due {
		c.Logger.Warn(message, append(details, "topic", c.topic, "group", c.group)...)
	}
}
